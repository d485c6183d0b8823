import type { RawData } from 'ws'
import fc from 'fast-check'
import { test } from 'tap'
import { oneLine, parseJson, rawElements, rawMembers } from '../../lib/json.js'
import { connect, newRoom, openStream, startApp, until, withKey } from '../helpers.js'
import { parameters } from './generate.js'
import { jsonName, jsonSpace, jsonText, jsonValue, tokens } from './json-text.js'

const headers = { 'content-type': 'application/json', ...withKey }

test('members and elements are cut out of a text as JSON.parse sees them', async (t) => {
  const each = parameters(t, 2_000)
  const member = fc.tuple(jsonSpace, jsonName, jsonSpace, fc.constant(':'), jsonSpace, jsonValue, jsonSpace)
  fc.assert(fc.property(fc.array(member, { maxLength: 6 }), jsonSpace, (members, space) => {
    const text = `${space}{${members.length === 0 ? space : members.map((parts) => parts.join('')).join()}}${space}`
    const parsed = JSON.parse(text)
    const raw = rawMembers(text)
    const last = new Map(members.map(([, name, , , , value]) => [JSON.parse(name) as string, value]))
    if (JSON.stringify([...raw.keys()].sort()) !== JSON.stringify(Object.keys(parsed).sort())) throw new Error(`${[...raw.keys()]}`)
    for (const [name, value] of last) if (raw.get(name) !== value) throw new Error(`${name}: ${raw.get(name)} instead of ${value}`)
  }), each)
  fc.assert(fc.property(fc.array(fc.tuple(jsonSpace, jsonValue, jsonSpace), { maxLength: 6 }), jsonSpace, (elements, space) => {
    const text = `${space}[${elements.length === 0 ? space : elements.map((parts) => parts.join('')).join()}]${space}`
    JSON.parse(text)
    const raw = rawElements(text)
    if (JSON.stringify(raw) !== JSON.stringify(elements.map(([, value]) => value))) throw new Error(JSON.stringify(raw))
  }), each)
})

test('one line is the same JSON', async (t) => {
  fc.assert(fc.property(jsonText, (text) => {
    const line = oneLine(text)
    if (/[\r\n]/.test(line)) throw new Error('a line break')
    if (tokens(line) !== tokens(text)) throw new Error('another text')
    if (JSON.stringify(JSON.parse(line)) !== JSON.stringify(JSON.parse(text))) throw new Error('another value')
  }), parameters(t, 2_000))
})

test('what parses is what JSON.parse parses', async (t) => {
  const text = fc.oneof(jsonText, fc.string(), fc.tuple(jsonText, fc.string({ maxLength: 2 }), fc.nat()).map(([text, insert, at]) => text.slice(0, at % (text.length + 1)) + insert + text.slice(at % (text.length + 1))))
  fc.assert(fc.property(text, (text) => {
    const parse = (read: () => unknown): string => {
      try {
        return JSON.stringify(read())
      } catch {
        return 'thrown'
      }
    }
    for (const source of [text, Buffer.from(text)]) if (parse(() => parseJson(source).value) !== parse(() => JSON.parse(String(source)))) throw new Error('they differ')
  }), parameters(t, 2_000))
})

test('data travels as the text that it is, by every way in and every way out', async (t) => {
  const { app, url } = await startApp(t, { clientPublish: true, authorize: () => true, limits: { framesPerSecond: 1e6 } })
  const publisher = await connect(t, url)
  const room = newRoom()
  const subscriber = await connect(t, url, `/rooms?room=${room}`)
  const received: string[] = []
  subscriber.websocket.on('message', (data: RawData) => {
    const [head, text] = [String(data).slice(0, String(data).indexOf(',"data":')), String(data)]
    if (head.includes('"type":"message"')) received.push(text.slice(head.length + ',"data":'.length, -1))
  })
  await subscriber.frame({ type: 'subscribed' })
  const stream = await openStream(t, `${url}/rooms/${room}/events`)
  const { id: start } = await stream.event({ event: 'subscribed' })
  let cursor = start as string
  const post = async (path: string, body: string): Promise<void> => {
    const response = await fetch(url + path, { method: 'POST', headers, body })
    const answer = await response.json() as { failed?: number }
    if (response.status !== 200 || (answer.failed ?? 0) !== 0) throw new Error(JSON.stringify(answer))
  }

  const ways: Array<(text: string, others: string[]) => Promise<void>> = [
    (text) => post(`/rooms/${room}`, text),
    (text, others) => post('/rooms', `{"messages": [${[text, ...others].map((text, n) => n % 2 === 0 ? `{"room":"${room}","data":${text}}` : `{"data":1,"data" : ${text} ,\n"x":[{}],"room":"${room}"}`).join()}]}`),
    (text) => post('/rooms', `{"data":${text},"rooms":["${room}"],"unknown":{"data":"}"}}`),
    async (text) => publisher.send(`{"type":"publish","room":"${room}","ref":"\\"data\\":","d\\u0061ta":${text}}`)
  ]
  let sent = 0
  let received0 = 0
  await fc.assert(fc.asyncProperty(fc.array(jsonText, { minLength: 1, maxLength: 5 }), fc.nat(ways.length - 1), async (texts, way) => {
    const [first, ...others] = texts as [string, ...string[]]
    const expected = way === 1 ? texts : [first]
    received0 = received.length
    const events0 = stream.events.length
    await ways[way]?.(first, others)
    sent += expected.length
    await until(() => received.length >= received0 + expected.length && stream.events.length >= events0 + expected.length)
    const history = await (await fetch(`${url}/rooms/${room}/history?since=${cursor}`)).text()
    const page = JSON.parse(history) as { id: string, messages: Array<{ id: string }> }
    const events = stream.events.slice(events0)
    const parts = [...page.messages.map(({ id }) => `{"id":"${id}","data":`), ']}']
    const read = parts.slice(0, -1).map((part, n) => {
      const from = history.indexOf(part) + part.length
      const next = parts[n + 1] as string
      return history.slice(from, next === ']}' ? -3 : history.indexOf(next) - 2)
    })
    for (const [n, text] of expected.entries()) {
      const line = tokens(text)
      for (const [out, got] of Object.entries({ websocket: received[received0 + n], events: events[n]?.data, history: read[n] })) {
        if (got === undefined || tokens(got) !== line || /[\r\n]/.test(got)) throw new Error(`${out}: ${got}\ninstead of ${text}`)
      }
      if (events[n]?.event !== 'message' || events[n]?.id !== page.messages[n]?.id) throw new Error('an event that was not sent')
    }
    if (received.length !== received0 + expected.length || events.length !== expected.length || read.length !== expected.length) throw new Error('another number of messages')
    cursor = page.id
  }), parameters(t, 250))
  t.equal(app.rooms.stats().published, sent)
  t.equal(stream.text.split('\n').filter((line) => line.startsWith('id:')).length, sent + 1, 'one id for each event')
})

test('what stands inside a string makes no event of its own', async (t) => {
  const { url } = await startApp(t)
  const room = newRoom()
  const stream = await openStream(t, `${url}/rooms/${room}/events`)
  await stream.event({ event: 'subscribed' })
  const forged = 'x\n\nid: 9-9\nevent: gap\ndata: {}\n\n\r\n\r\rdata: forged\u2028\u2029'
  await fetch(`${url}/rooms/${room}`, { method: 'POST', headers, body: JSON.stringify({ [forged]: forged }, null, '\r\n\n') })
  await fetch(`${url}/rooms/${room}`, { method: 'POST', headers, body: '\r\n[\r\n1,\n\n2\r]\n' })
  await stream.event({ data: '[ 1, 2 ]' })
  t.same(stream.events.map(({ event }) => event), ['subscribed', 'message', 'message'])
  t.same(JSON.parse(stream.events[1]?.data ?? ''), { [forged]: forged })
})
