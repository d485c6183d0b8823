// The live page of `npm start`. One file for each of its parts: the connection and the network below it, a room and its log, the
// form that publishes, who is present, what is measured and plotted, and what is read out.
import type { Choice, Shown } from './connection.js'
import { Announcer } from './announcer.js'
import { Connection } from './connection.js'
import { find } from './dom.js'
import { Measures } from './measures.js'
import { Plots } from './plots.js'
import { watchPresence } from './presence.js'
import { Publisher } from './publisher.js'
import { RoomView } from './room-view.js'

const TOKEN = 'fan-out-token'
const LONGEST_ROOM = 200

const needsToken = document.body.dataset['tokens'] === 'needed'
const token = find('token', HTMLInputElement)
const name = find('room', HTMLInputElement)
const rooms = find('rooms', HTMLElement)
const cut = find('cut', HTMLButtonElement)

const announcer = new Announcer()
const measures = new Measures()
const publisher = new Publisher(measures)
const connection = new Connection(show)

function show ({ name, text }: Shown): void {
  const state = find('state', HTMLElement)
  state.dataset['state'] = name
  find('state-text', HTMLElement).textContent = text
}

// --- the rooms

function join (room: string): void {
  if (connection.rooms.has(room)) return
  const view = new RoomView(room, { announcer, leave, arrived: (room, id) => measures.arrived(room, id) })
  rooms.append(view.element)
  connection.join(view)
  roomsChanged()
}

function leave (view: RoomView): void {
  connection.leave(view)
  roomsChanged()
  name.focus()
}

/** The rooms stand in the address, to be kept or handed on. */
function roomsChanged (): void {
  const names = [...connection.rooms.keys()]
  history.replaceState(null, '', `#${names.map(encodeURIComponent).join(',')}`)
  publisher.offer(names)
}

function roomsOfAddress (): string[] {
  try {
    return location.hash.slice(1).split(',').filter(Boolean).map(decodeURIComponent)
  } catch {
    return []
  }
}

find('join', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  const bytes = new TextEncoder().encode(name.value).length
  const problem = bytes > LONGEST_ROOM ? `A name is at most ${LONGEST_ROOM} bytes long, this one has ${bytes}.` : connection.rooms.has(name.value) ? 'This room is joined.' : ''
  find('room-problem', HTMLElement).textContent = problem
  if (problem) return
  join(name.value)
  name.value = ''
})
addEventListener('hashchange', () => {
  const names = roomsOfAddress()
  for (const view of connection.rooms.values()) if (!names.includes(view.name)) connection.leave(view)
  names.forEach(join)
  roomsChanged()
})

// --- the connection

function choice (): Choice {
  const { value } = document.querySelector<HTMLInputElement>('[name=transport]:checked')!
  return { transport: value as Choice['transport'], token: needsToken ? token.value : '' }
}

function open (): void {
  if (needsToken && !token.value) return show({ name: 'closed', text: 'This server asks for a token' })
  sessionStorage.setItem(TOKEN, token.value)
  connection.open(choice())
}

find('connect', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  open()
})
for (const radio of document.querySelectorAll('[name=transport]')) radio.addEventListener('change', open)
cut.addEventListener('click', () => {
  if (connection.network.isCut) connection.mend()
  else connection.cut()
  cut.textContent = connection.network.isCut ? 'Mend the connection' : 'Cut the connection'
})

// --- the beginning

find('token-field', HTMLElement).hidden = !needsToken
token.value = sessionStorage.getItem(TOKEN) ?? ''
new Plots(measures) // eslint-disable-line no-new
watchPresence(connection.rooms, () => publisher.key)
const wanted = roomsOfAddress()
for (const room of wanted.length > 0 ? wanted : ['demo']) join(room)
open()
