import { test } from 'tap'
import { newRoom, post, startApp } from '../helpers.js'

test('the window in pages, oldest first', async (t) => {
  const { app, url } = await startApp(t)
  const room = newRoom()
  const ids: string[] = []
  for (let i = 1; i <= 10; i++) ids.push((await app.rooms.publish(room, { i })).id)
  const get = async (query: string): Promise<any> => await (await fetch(`${url}/rooms/${room}/history?${query}`)).json()
  const page = await get('limit=4')
  t.strictSame(page, { room, id: ids[3], complete: true, more: true, messages: [1, 2, 3, 4].map((i) => ({ id: ids[i - 1], data: { i } })) })
  const next = await get(`limit=4&since=${page.id}`)
  t.strictSame(next.messages.map(({ id }: { id: string }) => id), ids.slice(4, 8))
  t.match(next, { id: ids[7], complete: true, more: true })
  t.match(await get(`limit=4&since=${next.id}`), { id: ids[9], complete: true, more: false, messages: { length: 2 } })
  t.match(await get(`since=${ids[9]}`), { id: ids[9], complete: true, more: false, messages: { length: 0 } })
  t.match(await get(`limit=1000&since=${ids[0]}&order=asc`), { more: false, messages: { length: 9 } })
  t.match(await get('limit=10'), { more: false, messages: { length: 10 } }, 'exactly all')
  t.strictSame(await get('limit=4'), await app.rooms.history(room, { limit: 4 }), 'as app.rooms reads it')
})

test('newest first', async (t) => {
  const { app, url } = await startApp(t)
  const room = newRoom()
  const ids: string[] = []
  for (let i = 1; i <= 10; i++) ids.push((await app.rooms.publish(room, i)).id)
  const get = async (query: string): Promise<any> => await (await fetch(`${url}/rooms/${room}/history?order=desc&${query}`)).json()
  const data = (page: any): unknown[] => page.messages.map(({ data }: { data: unknown }) => data)
  t.strictSame(data(await get('')), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
  const page = await get('limit=3')
  t.strictSame(data(page), [10, 9, 8])
  t.match(page, { id: ids[9], more: false, complete: true }, 'not paged; its id is the top, to go on from')
  t.strictSame(data(await get(`limit=3&since=${ids[7]}`)), [10, 9])
})

test('what lies before the window makes it incomplete', async (t) => {
  const { app, url } = await startApp(t, { history: { size: 3 } })
  const room = newRoom()
  const ids: string[] = []
  for (let i = 1; i <= 6; i++) ids.push((await app.rooms.publish(room, i)).id)
  const get = async (query: string): Promise<any> => await (await fetch(`${url}/rooms/${room}/history?${query}`)).json()
  t.match(await get(''), { complete: true, messages: [{ data: 4 }, { data: 5 }, { data: 6 }] }, 'nothing was asked for that is missing')
  t.match(await get(`since=${ids[0]}`), { complete: false, id: ids[5], messages: [{ data: 4 }, { data: 5 }, { data: 6 }] })
  t.match(await get(`since=${ids[2]}`), { complete: true, messages: { length: 3 } })
  t.match(await get('since=1-1'), { complete: false, messages: { length: 3 } })
  t.match(await get(`since=${ids[5]!.replace(/6$/, '9')}`), { complete: false, id: ids[5], messages: { length: 0 } })
  t.match(await get(`since=${ids[0]}&limit=2`), { complete: false, more: true, id: ids[4], messages: [{ data: 4 }, { data: 5 }] })
  t.match(await get(`since=${ids[0]}&order=desc&limit=2`), { complete: false, messages: [{ data: 6 }, { data: 5 }] })
})

test('a room that nobody knows is an empty one, whose id resumes', async (t) => {
  const { app, url } = await startApp(t)
  const room = newRoom()
  const response = await fetch(`${url}/rooms/${room}/history`)
  t.equal(response.headers.get('cache-control'), 'no-store')
  t.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
  const page = await response.json() as { id: string }
  t.match(page, { room, complete: true, more: false, messages: { length: 0 } })
  await app.rooms.publish(room, 1)
  t.match(await app.rooms.history(room, { since: page.id }), { complete: true, messages: [{ data: 1 }] })
})

test('what cannot be read is refused', async (t) => {
  const { app, url } = await startApp(t)
  const refusals: Array<[string, string]> = [
    ['a/history?since=x', 'INVALID_CURSOR'], ['a/history?since=earliest', 'INVALID_CURSOR'], ['a/history?limit=0', 'INVALID_REQUEST'], ['a/history?limit=1001', 'INVALID_REQUEST'],
    ['a/history?limit=-1', 'INVALID_REQUEST'], ['a/history?limit=x', 'INVALID_REQUEST'], ['a/history?limit=1.5', 'INVALID_REQUEST'], ['a/history?order=up', 'INVALID_REQUEST'],
    ['a/history?limit=1&limit=2', 'INVALID_REQUEST'], ['a/history?since=1-1&since=1-2', 'INVALID_REQUEST'], ['%00/history', 'INVALID_ROOM'], ['%7F/history', 'INVALID_ROOM']
  ]
  for (const [path, code] of refusals) {
    const response = await fetch(`${url}/rooms/${path}`)
    t.equal(response.status, 400, path)
    t.match(await response.json(), { statusCode: 400, code: `FAN_OUT_ERR_${code}`, error: 'Bad Request', message: String })
  }
  for (const options of [{ limit: 0 }, { limit: 1_001 }, { limit: 1.5 }, { order: 'up' }, { since: 'x' }]) await t.rejects(app.rooms.history('a', options as never), { code: /^FAN_OUT_ERR_INVALID_/ })
  await t.rejects(app.rooms.history(''), { code: 'FAN_OUT_ERR_INVALID_ROOM' })
})

test('a batch over HTTP', async (t) => {
  const { app, url } = await startApp(t, { limits: { batch: 4 } })
  const [a, b] = [newRoom(), newRoom()]
  const { status, body } = await post(`${url}/rooms`, { messages: [{ room: a, data: 1 }, { room: b, data: null }, { room: a, data: 2, idempotencyKey: 'k' }, { room: a, data: 3, idempotencyKey: 'k' }] })
  t.equal(status, 200)
  t.match(body, { failed: 0, results: [{ room: a, id: /-1$/ }, { room: b, id: /-1$/ }, { room: a, id: /-2$/ }, { room: a, id: body.results[2].id, duplicate: true }] })
  t.notOk('duplicate' in body.results[2])
  t.strictSame((await app.rooms.history(a)).messages.map(({ data }) => data), [1, 2])
  t.match((await post(`${url}/rooms`, { rooms: [a, b], data: { x: 1 } })).body, { failed: 0, results: [{ room: a }, { room: b }] })
  const mixed = await post(`${url}/rooms`, { messages: [{ room: a }, { room: a, data: 1, idempotencyKey: '' }, { room: a, data: 1, idempotencyKey: 'x'.repeat(129) }, 7] })
  t.equal(mixed.body.failed, 4)
  t.strictSame(mixed.body.results.map(({ error }: any) => [error.statusCode, error.code]), [[400, 'FAN_OUT_ERR_INVALID_REQUEST'], [400, 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY'], [400, 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY'], [400, 'FAN_OUT_ERR_INVALID_REQUEST']])
  t.strictSame((await post(`${url}/rooms`, { messages: [] })).body, { failed: 0, results: [] })
  t.match(await post(`${url}/rooms`, { messages: [1, 2, 3, 4, 5] }), { status: 413, body: { code: 'FAN_OUT_ERR_TOO_LARGE' } })
  for (const wrong of [{}, [], 7, null, 'x', { messages: {} }, { rooms: [a] }, { rooms: a, data: 1 }, { messages: [], rooms: [] }, { data: 1 }]) {
    t.match(await post(`${url}/rooms`, wrong), { status: 400, body: { code: 'FAN_OUT_ERR_INVALID_REQUEST' } })
  }
})

test('Idempotency-Key', async (t) => {
  const { app, url } = await startApp(t)
  const [a, b] = [newRoom(), newRoom()]
  const key = { 'idempotency-key': 'order-7' }
  const first = await post(`${url}/rooms/${a}`, 1, key)
  t.strictSame(Object.keys(first.body), ['room', 'id'])
  t.strictSame((await post(`${url}/rooms/${a}`, 'another body', key)).body, { ...first.body, duplicate: true })
  t.equal((await post(`${url}/rooms/${b}`, 1, key)).body.duplicate, undefined, 'another room')
  t.match((await post(`${url}/rooms`, { rooms: [a, newRoom()], data: 2 }, key)).body.results, [{ id: first.body.id, duplicate: true }, { duplicate: undefined }], 'for each of the rooms')
  t.match(await post(`${url}/rooms`, { messages: [{ room: a, data: 1 }] }, key), { status: 400, body: { code: 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY' } })
  for (const wrong of ['', 'x'.repeat(129)]) t.match(await post(`${url}/rooms/${a}`, 1, { 'idempotency-key': wrong }), { status: 400, body: { code: 'FAN_OUT_ERR_INVALID_IDEMPOTENCY_KEY' } })
  t.equal((await post(`${url}/rooms/${a}`, 1, { 'idempotency-key': 'x'.repeat(128) })).status, 200)
  t.equal((await app.rooms.history(a)).messages.length, 2)
})
