import type { FanOutError } from '../errors.js'

// See the list of close codes in docs/protocol.md. 1011, an internal error, for what stands not here.
const codes: Record<string, number> = {
  FAN_OUT_ERR_CLOSING: 1001,
  FAN_OUT_ERR_INVALID_FRAME: 1008,
  FAN_OUT_ERR_TOO_LARGE: 1009,
  FAN_OUT_ERR_SERVER_FULL: 1013,
  FAN_OUT_ERR_BROKER_AWAY: 1013,
  FAN_OUT_ERR_UNAUTHORIZED: 4401,
  FAN_OUT_ERR_FORBIDDEN: 4403,
  FAN_OUT_ERR_DISCONNECTED: 4403,
  FAN_OUT_ERR_TOO_SLOW: 4408,
  FAN_OUT_ERR_TOO_MANY_CONNECTIONS: 4429,
  FAN_OUT_ERR_TOO_MANY_FRAMES: 4429
}

/** The code that a WebSocket is closed with for an error. */
export function closeCodeOf (error: FanOutError): number {
  return codes[error.code] ?? 1011
}
