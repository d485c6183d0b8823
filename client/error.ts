/** `code` is the server's FAN_OUT_ERR_…, stable, or one of the client's: CLOSED, ALREADY_JOINED, CONNECTION. `status`: the code of the WebSocket's close, or of the HTTP answer. */
export class FanOutError extends Error {
  override name = 'FanOutError'

  constructor (readonly code: string, message: string, readonly status?: number) {
    super(message)
  }
}
