// A Vite app with a hook for rooms: src/useRoom.ts is what one copies.
//
//   npm run build && PORT=3000 npm start              in the root of the repository
//   cd examples/use-room && npm install && npm run dev
//
// Publish to the room `news` with the line of curl that the server prints, with /rooms/news in it. Both lists show the message, and the
// server has one subscription. Hide one list: it stays. Hide both: it is left.
import { connect } from 'fastify-fan-out/client'
import { useState } from 'react'
import { useRoom } from './useRoom'

// One for the whole app, not one a component.
const client = connect('/rooms')

export function App () {
  const [room, setRoom] = useState('news')
  return (
    <>
      <label>Room <input value={room} onChange={({ target }) => setRoom(target.value)} /></label>
      <Panel title='First' room={room} />
      <Panel title='Second' room={room} />
    </>
  )
}

function Panel ({ title, room }: { title: string, room: string }) {
  const [shown, setShown] = useState(true)
  return (
    <section aria-label={title}>
      <h2>{title} <button onClick={() => setShown(!shown)}>{shown ? 'hide' : 'show'}</button></h2>
      {shown && room !== '' && <Messages room={room} />}
    </section>
  )
}

function Messages ({ room }: { room: string }) {
  const { state, error, items } = useRoom<unknown>(client, room)
  return (
    <>
      <p role='status'>{error?.message ?? state}</p>
      <ol>
        {items.map((item) => <li key={item.id + item.type}>{item.type === 'gap' ? `Messages are missing here: ${item.reason}` : JSON.stringify(item.data)}</li>)}
      </ol>
    </>
  )
}
