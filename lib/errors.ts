import { createError } from '@fastify/error'

/**
 * Every error a client, a backend service or an operator can meet, with its HTTP status. Each message says what was
 * wrong and what to do; `%s` is filled in where it is thrown. On a WebSocket the code and the message stand in an
 * `error` frame; the status is meant for HTTP.
 */
export const errors = {
  // At start-up
  InvalidOption: createError('FAN_OUT_ERR_INVALID_OPTION', 'fastify-fan-out: %s', 500),
  WebSocketConflict: createError('FAN_OUT_ERR_WEBSOCKET_CONFLICT', 'fastify-fan-out: %s', 500),

  // The request
  InvalidRoom: createError('FAN_OUT_ERR_INVALID_ROOM', 'invalid room name: it takes 1 to 200 bytes of UTF-8 without control characters', 400),
  InvalidCursor: createError('FAN_OUT_ERR_INVALID_CURSOR', 'invalid cursor: pass an id as it was received, "<epoch>-<offset>"', 400),
  InvalidJson: createError('FAN_OUT_ERR_INVALID_JSON', 'invalid JSON: %s', 400),
  InvalidRequest: createError('FAN_OUT_ERR_INVALID_REQUEST', 'invalid request: %s', 400),
  InvalidIdempotencyKey: createError('FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY', 'invalid idempotency key: %s', 400),
  InvalidFrame: createError('FAN_OUT_ERR_INVALID_FRAME', 'invalid frame: %s', 400),
  TooLarge: createError('FAN_OUT_ERR_TOO_LARGE', 'too large: %s', 413),
  MediaType: createError('FAN_OUT_ERR_MEDIA_TYPE', 'unsupported media type: send the body as application/json', 415),
  UpgradeRequired: createError('FAN_OUT_ERR_UPGRADE_REQUIRED', 'this address is a WebSocket: connect with an Upgrade, or read /:room/events with an EventSource', 426),

  // Rights
  Unauthorized: createError('FAN_OUT_ERR_UNAUTHORIZED', 'not authenticated: %s', 401),
  Forbidden: createError('FAN_OUT_ERR_FORBIDDEN', 'not allowed: %s', 403),
  Origin: createError('FAN_OUT_ERR_ORIGIN', 'foreign origin: add it to the option `origins` where it may connect', 403),
  ClientPublish: createError('FAN_OUT_ERR_CLIENT_PUBLISH', 'publishing over a WebSocket is off: POST to the room, or set the option `clientPublish`', 403),

  // State
  NoPresence: createError('FAN_OUT_ERR_NO_PRESENCE', 'no presence is kept: set the option `presence`', 404),
  AlreadySubscribed: createError('FAN_OUT_ERR_ALREADY_SUBSCRIBED', 'already subscribed to this room on this connection: unsubscribe first', 409),
  Cancelled: createError('FAN_OUT_ERR_CANCELLED', 'the subscribe was cancelled by an unsubscribe', 409),
  Snapshot: createError('FAN_OUT_ERR_SNAPSHOT', 'the snapshot of this room could not be made: subscribe again', 500),

  // Too many, or not now
  TooManyKeys: createError('FAN_OUT_ERR_TOO_MANY_KEYS', 'the memory of idempotency keys is full: try again later, or publish without a key', 429),
  TooManyRooms: createError('FAN_OUT_ERR_TOO_MANY_ROOMS', 'too many rooms on this connection: unsubscribe from some, or open another (limit %s)', 429),
  TooManyConnections: createError('FAN_OUT_ERR_TOO_MANY_CONNECTIONS', 'too many connections: try again later', 429),
  ServerFull: createError('FAN_OUT_ERR_SERVER_FULL', 'this server has as many connections as it takes: try again later', 503),
  TooManyFrames: createError('FAN_OUT_ERR_TOO_MANY_FRAMES', 'too many frames a second: send fewer', 429),
  TooSlow: createError('FAN_OUT_ERR_TOO_SLOW', 'too slow for the live stream: come back with the last cursor', 503),
  BrokerAway: createError('FAN_OUT_ERR_BROKER_AWAY', 'the broker is away: %s', 503),
  Closing: createError('FAN_OUT_ERR_CLOSING', 'the server is leaving: come back, to another', 503),
  // What the application asked for, with its reason
  Unsubscribed: createError('FAN_OUT_ERR_UNSUBSCRIBED', '%s', 403),
  Disconnected: createError('FAN_OUT_ERR_DISCONNECTED', '%s', 403),

  Internal: createError('FAN_OUT_ERR_INTERNAL', 'internal error: the server log says more', 500)
}

/** An error with a stable `code`, and an HTTP `statusCode`. `headers` are sent along with it by Fastify. */
export type FanOutError = InstanceType<(typeof errors)[keyof typeof errors]> & { headers?: Record<string, string> }

/** `error`, saying in how many whole seconds (1 unless told) it is worth trying again. */
export function retryAfter<E extends FanOutError> (error: E, seconds = 1): E {
  error.headers = { 'retry-after': String(Math.max(1, Math.ceil(seconds))) }
  return error
}

/** Any thrown thing as one of ours: foreign ones become `Internal`, keeping the original as `cause` for the log. Who may try again is told when. */
export function asFanOutError (thrown: unknown): FanOutError {
  if (thrown instanceof Error && 'code' in thrown && String(thrown.code).startsWith('FAN_OUT_ERR_')) {
    const error = thrown as FanOutError
    const forNow = error.statusCode === 503 || error.statusCode === 429
    return forNow && error.headers === undefined ? retryAfter(error) : error
  }
  const error = new errors.Internal() as FanOutError
  error.cause = thrown
  return error
}
