// The live page: a plain WebSocket or EventSource, what arrives by it, and a form that publishes.
// Whatever came from the network is set as textContent; the page's policy refuses anything else.
/* global openSocket, openEvents */

const $ = (id) => document.getElementById(id)
const ROWS = 500
const LOST = {
  expired: 'They are older than what the server keeps.',
  epoch: 'The history of the room was lost, or begun again.',
  overflow: 'There were more than could be held for this page.',
  forked: 'The history forked in a failover.'
}

let room = ''
let cursor = null // where this page stands in the room: handed back as `since`
let attempts = 0
let messages = 0
let gaps = 0
let connection = null // of the present connection: close() ends it for good
let timer

const log = $('log')
const needsToken = document.body.dataset.tokens === 'needed'

// --- what is shown

function state (name, text) {
  $('state').dataset.state = name
  $('state-text').textContent = text
  $('close-button').disabled = name === 'closed' || name === 'refused'
}

function make (tag, text, className = '') {
  const node = document.createElement(tag)
  node.textContent = text
  node.className = className
  return node
}

function addRow (kind, id, ...content) {
  const follow = log.scrollHeight - log.scrollTop - log.clientHeight < 40
  const meta = make('div', '', 'meta')
  meta.append(make('time', new Date().toLocaleTimeString()), make('code', id ?? '', 'cursor'))
  const row = make('li', '', kind)
  row.append(meta, ...content)
  log.append(row)
  while (log.childElementCount > ROWS) log.firstElementChild.remove()
  if (follow) log.scrollTop = log.scrollHeight
}

function showCounts () {
  $('count').textContent = messages === 1 ? '1 message' : `${messages} messages`
  $('gaps').textContent = gaps === 0 ? '' : gaps === 1 ? ' · 1 gap' : ` · ${gaps} gaps`
  $('cursor').textContent = cursor ?? 'no cursor yet'
}

function pretty (data) {
  const short = JSON.stringify(data)
  return short.length <= 100 ? short : JSON.stringify(data, null, 2)
}

/** What the server says of the room, the same for both transports. */
function take (event) {
  if (event.id) cursor = event.id
  switch (event.type) {
    case 'subscribed': {
      attempts = 0
      state('open', `Live in ${room}`)
      const replayed = event.replayed ? `, ${event.replayed} replayed` : ''
      const how = event.recovered === true ? 'Resumed where it was' : event.recovered === false ? 'Opened again, with a loss' : 'Opened'
      addRow('note', event.id, make('span', `${how}${replayed}`))
      break
    }
    case 'message':
      messages++
      addRow('message', event.id, make('pre', pretty(event.data)))
      break
    case 'snapshot':
      addRow('message', event.id, make('strong', 'Snapshot'), make('pre', pretty(event.data)))
      break
    case 'gap': {
      gaps++
      const disowned = event.from ? ` What came after ${event.from} no longer counts.` : ''
      addRow('gap', event.id, make('strong', 'Messages are missing here'), make('span', `${LOST[event.reason] ?? event.reason}${disowned}`))
      break
    }
    case 'error':
      addRow('note bad', null, make('span', `${event.message} (${event.code})`))
      break
    case 'unsubscribed':
      addRow('note bad', null, make('span', `The server ended the subscription: ${event.reason}`))
  }
  showCounts()
}

// --- the connection

function address (path, query) {
  const url = new URL(path, location.href)
  url.hash = ''
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value)
  return url
}

function leave () {
  clearTimeout(timer)
  connection?.close()
  connection = null
}

function refuse (why) {
  leave()
  state('refused', `Refused: ${why}`)
}

function again (why) {
  leave()
  // Doubling, with chance in it: pages that lost a server together must not come back together.
  const wait = Math.min(15_000, 500 * 2 ** attempts++) * (0.5 + Math.random())
  state('waiting', `${why}: again in ${Math.max(1, Math.round(wait / 1000))} s`)
  timer = setTimeout(connect, wait)
}

function lost () {
  state('waiting', 'Connection lost: the browser tries again')
}

function connect () {
  state('waiting', `Connecting to ${room}…`)
  const token = needsToken ? $('token').value : ''
  const callbacks = { take, again, refuse, lost }
  if (document.querySelector('[name=transport]:checked').value === 'events') {
    connection = openEvents(address(`rooms/${encodeURIComponent(room)}/events`, { since: cursor }), token, callbacks)
  } else {
    const url = address('rooms', { room, since: cursor })
    url.protocol = url.protocol.replace('http', 'ws')
    connection = openSocket(url, token, callbacks)
  }
}

function open () {
  const name = $('room').value
  const bytes = new TextEncoder().encode(name).length
  const problem = bytes > 200 ? `A name is at most 200 bytes long, this one has ${bytes}.` : ''
  $('room-problem').textContent = problem
  $('room-problem').hidden = problem === ''
  if (problem !== '' || name === '') return

  leave()
  if (name !== room) {
    cursor = null
    messages = gaps = 0
    log.replaceChildren()
  }
  room = name
  attempts = 0
  if (needsToken) sessionStorage.setItem('fan-out-token', $('token').value)
  history.replaceState(null, '', `#${encodeURIComponent(room)}`)
  showCounts()
  connect()
}

// --- publishing

/** The JSON that the field stands for: itself where it is JSON, otherwise the string that it is. */
function body () {
  const text = $('data').value
  try {
    JSON.parse(text)
    return text
  } catch {
    return JSON.stringify(text)
  }
}

function showCurl () {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`
  const url = address(`rooms/${encodeURIComponent($('room').value)}`, {})
  $('curl').textContent = `curl ${quote(url.href)} -H "authorization: Bearer $FAN_OUT_PUBLISH_KEY" -H 'content-type: application/json' -d ${quote(body())}`
}

async function publish () {
  const key = $('key').value
  const said = (result, text) => {
    $('published').dataset.result = result
    $('published').textContent = text
  }
  if (key === '') {
    said('bad', 'Publishing asks for the publish key.')
    return $('key').focus()
  }
  said('', 'Publishing…')
  try {
    const response = await fetch(address(`rooms/${encodeURIComponent($('room').value)}`, {}), {
      method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: body()
    })
    const answer = await response.json()
    if (!response.ok) return said('bad', answer.message)
    // Only a key that was accepted is worth keeping, and not beyond this tab.
    sessionStorage.setItem('fan-out-key', key)
    said('good', `Published at ${answer.id}`)
  } catch {
    said('bad', 'The server did not answer. It may have published, or not.')
  }
}

$('open').addEventListener('submit', (event) => { event.preventDefault(); open() })
$('publish').addEventListener('submit', (event) => { event.preventDefault(); publish() })
$('close-button').addEventListener('click', () => { leave(); state('closed', 'Not connected') })
$('clear').addEventListener('click', () => { log.replaceChildren() })
$('data').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('publish').requestSubmit()
})
$('copy').addEventListener('click', async () => {
  // No clipboard outside https and localhost: then the line is selected, to be copied by hand.
  await navigator.clipboard?.writeText($('curl').textContent).catch(() => {})
  getSelection().selectAllChildren($('curl'))
})
for (const id of ['room', 'data']) $(id).addEventListener('input', showCurl)
for (const radio of document.querySelectorAll('[name=transport]')) {
  radio.addEventListener('change', () => { if (connection) { leave(); connect() } })
}
addEventListener('hashchange', () => { fromHash(); open() })

function fromHash () {
  try {
    $('room').value = decodeURIComponent(location.hash.slice(1)) || 'demo'
  } catch {
    $('room').value = 'demo'
  }
  showCurl()
}

fromHash()
$('token-field').hidden = !needsToken
$('key').value = sessionStorage.getItem('fan-out-key') ?? ''
$('token').value = sessionStorage.getItem('fan-out-token') ?? ''
if (!needsToken || $('token').value !== '') open()
