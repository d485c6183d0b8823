// The two ways to be in a room, both plain. Each takes the address and three callbacks: `take` for
// what the server says of the room, `again(why)` where the connection is lost for now, and
// `refuse(why)` where it will not come back. The server joins this file and page.js to one script.

const REFUSED = { 1008: 'the protocol was violated', 4401: 'the token is missing, wrong or expired', 4403: 'this room is not allowed' }
const CLOSED = { 1001: 'The server is leaving', 1013: 'The server is busy', 4408: 'This page was too slow', 4429: 'Too many connections' }
// Errors that say "not now": whoever asks again may be let in.
const FOR_NOW = /BROKER_AWAY|CLOSING|TOO_MANY|TOO_SLOW|INTERNAL|SNAPSHOT/

function openSocket (url, token, { take, again, refuse }) {
  const socket = token ? new WebSocket(url, ['fan-out.v1', `bearer.${token}`]) : new WebSocket(url)
  let subscribed = false
  let heard = Date.now()
  let beat

  socket.onmessage = ({ data }) => {
    heard = Date.now()
    const frame = JSON.parse(data)
    if (frame.type === 'welcome' && frame.heartbeat > 0) beat = setInterval(check, frame.heartbeat)
    if (frame.type === 'subscribed') subscribed = true
    take(frame)
    // Without its only room the connection is of no use here.
    if (frame.type === 'unsubscribed') refuse(frame.reason)
    if (frame.type === 'error' && !subscribed) (FOR_NOW.test(frame.code) ? again : refuse)(frame.message)
  }
  socket.onclose = ({ code, reason }) => {
    clearInterval(beat)
    if (REFUSED[code]) refuse(reason || REFUSED[code])
    else again(CLOSED[code] ?? 'Connection lost')
  }

  // A browser sees no WebSocket pings: a connection that died without a word is found by asking.
  function check () {
    const asked = Date.now()
    socket.send('{"type":"ping"}')
    setTimeout(() => {
      if (socket.readyState === WebSocket.OPEN && heard < asked) again('The server is silent')
    }, 10_000)
  }

  return {
    close () {
      clearInterval(beat)
      socket.onmessage = socket.onclose = null
      socket.close()
    }
  }
}

function openEvents (url, token, { take, again, refuse, lost }) {
  if (token) url.searchParams.set('access_token', token) // an EventSource can set no header
  const source = new EventSource(url)
  let closed = false

  source.onmessage = ({ data, lastEventId }) => take({ type: 'message', id: lastEventId, data: JSON.parse(data) })
  source.addEventListener('snapshot', ({ data, lastEventId }) => take({ type: 'snapshot', id: lastEventId, data: JSON.parse(data) }))
  for (const type of ['subscribed', 'gap']) {
    source.addEventListener(type, ({ data, lastEventId }) => take({ ...JSON.parse(data), type, id: lastEventId }))
  }
  source.onerror = async () => {
    // An EventSource comes back by itself, with its last id. Only a refusal ends it, and does not say why.
    if (source.readyState !== EventSource.CLOSED) return lost()
    const refusal = await askWhy(url)
    if (closed) return
    if (refusal) refuse(refusal)
    else again('Connection lost')
  }

  return {
    close () {
      closed = true
      source.close()
    }
  }
}

/** Why the server refuses this stream for good, or null where it does not. */
async function askWhy (url) {
  const controller = new AbortController()
  try {
    const response = await fetch(url, { headers: { accept: 'text/event-stream' }, signal: controller.signal })
    if (response.ok || response.status >= 500 || response.status === 429) return null
    return (await response.json()).message
  } catch {
    return null
  } finally {
    controller.abort()
  }
}
