import type { Msg } from '@nats-io/transport-node'
import { headers } from '@nats-io/transport-node'
import { test } from 'tap'
import { headersOf } from '../../lib/brokers/nats/headers.js'
import { until } from '../helpers.js'
import { NatsServer } from '../nats-server.js'

test('headers are read as the client reads them', async (t) => {
  const nats = await (await NatsServer.start(t, { program: 'nats' })).admin()
  const messages: Msg[] = []
  nats.subscribe('to', { callback: (_, message) => { messages.push(message) } })

  const given = (values: Record<string, string>): { headers: ReturnType<typeof headers> } => {
    const all = headers()
    for (const [name, value] of Object.entries(values)) all.append(name, value)
    return { headers: all }
  }
  const doubled = given({ Name: 'first' })
  doubled.headers.append('Name', 'second')
  const [small, large] = ['payload', 'x'.repeat(500_000)]
  const sent: Array<[payload: string, options: { headers?: ReturnType<typeof headers> }]> = []
  for (const payload of [small, '', large, 'NATS/1.0\r\nName: not mine\r\n\r\n']) {
    sent.push(
      [payload, given({ Name: 'value', Another: '12' })],
      // What comes before it in the buffer is not its own.
      [payload, {}],
      [payload, given({ Another: 'Name: NATS/1.0', 'X-Name': 'no', name: 'no' })],
      [payload, doubled],
      [payload, given({ Name: 'größer: als' })],
      [payload, given({ Name: 'ends in NATS/1.0', Another: 'behind it' })],
      [payload, given({ Another: 'x'.repeat(5_000), Name: 'after much' })]
    )
  }
  for (const [payload, options] of sent) nats.publish('to', payload, options)
  await until(() => messages.length === sent.length, 'the messages')
  for (const [i, message] of messages.entries()) {
    const header = headersOf(message)
    for (const name of ['Name', 'Another', 'X-Name', 'Missing']) t.equal(header(name), message.headers?.get(name) ?? '', `${name} of message ${i}`)
    t.equal(message.string(), sent[i]?.[0])
  }
})

test('headers that are not where they are expected are left to the client', (t) => {
  const all = headers()
  all.append('Name', 'value')
  t.equal(headersOf({ data: Buffer.from('payload'), headers: all } as unknown as Msg)('Name'), 'value')
  t.end()
})
