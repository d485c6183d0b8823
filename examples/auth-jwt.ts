// Who a client is, by @fastify/jwt; what it may do, by the claim `rooms` of its token.
//
//   node --import=tsx examples/auth-jwt.ts
//
// One gets a token with POST /login (here for whoever asks), and uses it in one of the four ways:
//
//   TOKEN=$(curl -s -X POST 'http://127.0.0.1:3000/login?user=ada')
//   curl -N -H "authorization: Bearer $TOKEN" http://127.0.0.1:3000/rooms/chat:ada/events
//
// `chat:ada` is allowed, `chat:bob` is answered with 403, and no token with 401. The stream ends when the token does, after
// a minute. Outside of this repository import from 'fastify-fan-out'.
import jwt from '@fastify/jwt'
import Fastify from 'fastify'
import fanOut from '../index.js'

interface Claims { sub: string, rooms: string[], exp: number }
const rights = new WeakMap<object, string[]>()

const app = Fastify({ logger: { level: 'warn' } })
await app.register(jwt, { secret: process.env['JWT_SECRET'] ?? 'a secret of at least 32 bytes, kept' })

await app.register(fanOut, {
  publishKeys: [{ id: 'backend', key: 'a-secret-of-the-backend' }],
  // Throws without a token, so that a WebSocket waits for an `auth` frame. To let anonymous clients in, answer null.
  async authenticate (request, token) {
    if (token === undefined) throw new Error('no token')
    const { sub, rooms, exp } = app.jwt.verify<Claims>(token)
    rights.set(request.raw, rooms)
    return { user: sub, expiresAt: exp * 1000 }
  },
  // Every route and every frame is asked for, those of a publish key too.
  authorize ({ action, room, key, request }) {
    if (key !== undefined) return true
    return action === 'subscribe' && room !== undefined && rights.get(request.raw)?.includes(room) === true
  }
})

app.post('/login', async (request) => {
  const { user } = request.query as { user: string }
  return app.jwt.sign({ sub: user, rooms: [`chat:${user}`] }, { expiresIn: '1m' })
})

console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })}`)
