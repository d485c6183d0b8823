// How to test an app that has rooms, without a port: inject for HTTP, injectWS for the WebSocket.
//
//   node --import=tsx --test examples/testing.test.ts
//
// One sees three tests pass. Outside of this repository import from 'fastify-fan-out'.
import assert from 'node:assert/strict'
import { on } from 'node:events'
import { test } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import fanOut from '../index.js'

async function build (): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(fanOut, { publishKeys: [{ id: 'test', key: 'key' }] })
  app.post('/orders', async () => {
    await app.rooms.publish('orders', { order: 1 })
    return { ok: true }
  })
  await app.ready()
  return app
}

test('what a route publishes is in the room', async (t) => {
  const app = await build()
  t.after(() => app.close())
  await app.inject({ method: 'POST', url: '/orders' })
  const { messages } = (await app.inject('/rooms/orders/history')).json()
  assert.deepEqual(messages.map(({ data }: { data: unknown }) => data), [{ order: 1 }])
})

test('who may publish', async (t) => {
  const app = await build()
  t.after(() => app.close())
  const publish = async (headers: Record<string, string>) => (await app.inject({
    method: 'POST', url: '/rooms/orders', headers: { 'content-type': 'application/json', ...headers }, payload: '{"order":2}'
  })).statusCode
  assert.equal(await publish({}), 401)
  assert.equal(await publish({ authorization: 'Bearer key' }), 200)
})

test('what a WebSocket is sent', async (t) => {
  const app = await build()
  t.after(() => app.close())

  let frames!: AsyncIterableIterator<[Buffer]>
  const socket = await app.injectWS('/rooms?room=orders', {}, {
    // The first frame can be there as soon as the socket is: listen before it opens.
    onInit: (socket) => { frames = on(socket, 'message') as AsyncIterableIterator<[Buffer]> }
  })
  const next = async (): Promise<Record<string, unknown>> => JSON.parse(String((await frames.next()).value[0]))

  assert.equal((await next())['type'], 'welcome')
  assert.equal((await next())['type'], 'subscribed')
  await app.inject({ method: 'POST', url: '/orders' })
  const { type, data } = await next()
  assert.deepEqual({ type, data }, { type: 'message', data: { order: 1 } })
  socket.terminate()
})
