import type { Link, LinkEvents } from '../../lib/brokers/link.js'
import type { LiveHole, Published, StoredMessage } from '../../lib/brokers/broker.js'
import type { Test } from 'tap'
import { test } from 'tap'
import { NumberedBroker } from '../../lib/brokers/numbered.js'
import { Clock, Random } from '../simulation/clock.js'

/** A broker on a link that takes everything, and carries what the test says. */
async function start (t: Test): Promise<{ broker: NumberedBroker, clock: Clock, hear (payload: string): string[], tear (): string[], mend (): string[] }> {
  const clock = new Clock(new Random(1))
  const link: Link = {
    async open () {},
    close () {},
    async reach () {},
    async subscribe () {},
    async unsubscribe () {},
    async send (_, number) { return number().map(() => undefined) },
    async say () {}
  }
  let events: LinkEvents | undefined
  const broker = new NumberedBroker({ link: (given) => { events = given; return link }, timeout: 1_000, scheduler: clock })
  t.teardown(() => broker.close())
  let heard: Array<StoredMessage | LiveHole> = []
  await broker.start({ message: (_, message) => heard.push(message), doubt: () => {} })
  let position = await broker.subscribe('a')
  await clock.advance(1_000)
  const told = (): string[] => {
    const entries = heard
    heard = []
    for (const { id, previous } of entries) {
      t.strictSame(previous, position, 'each follows the one before')
      position = id
    }
    return entries.map((entry) => entry.type === 'gap' ? 'gap' : entry.text)
  }
  return {
    broker,
    clock,
    hear (payload) {
      events?.message('a', payload)
      return told()
    },
    tear () {
      events?.broken()
      return told()
    },
    mend () {
      events?.mended()
      return told()
    }
  }
}

test('numbers: what is missing is told before what follows it, and a repeat is nothing', async (t) => {
  const { hear } = await start(t)
  t.same(hear('m 7-1 9999 "1"'), ['"1"'], 'nothing comes before the first')
  t.same(hear('m 7-2 10 "2"'), ['"2"'])
  t.same(hear('m 7-2 10 "2"'), [], 'a repeat')
  t.same(hear('m 7-1 10 "1"'), [])
  t.same(hear('m 7-4 10 "4"'), ['gap', '"4"'])
  t.same(hear('m 7-3 10 "3"'), [], 'too late')
  t.same(hear('s 7-5 10 '), [], 'a number that was not used')
  t.same(hear('m 7-6 10 "a b c"'), ['"a b c"'])
  t.same(hear('s 7-8 10 '), ['gap'])
  t.same(hear('c 7-8 10 '), [], 'as far as was heard')
  t.same(hear('c 7-9 10 '), ['gap'], 'further')
  t.same(hear('m 7-10 10 "10"'), ['"10"'], 'told once')
  for (const unknown of ['', 'm', 'x 7-11 10 "11"', 'm 7-x 10 "11"', 'm 7', 'c 18446744073709551616-1 0 ']) t.same(hear(unknown), [], unknown)
})

test('ages: of a server that was not heard before, what was sent since the room was joined should have come', async (t) => {
  const { hear, tear, mend, clock } = await start(t)
  t.same(hear('m 1-5 2000 "5"'), ['"5"'], 'the one before was sent before')
  t.same(hear('m 2-5 500 "5"'), ['gap', '"5"'], 'the one before was sent since')
  t.same(hear('c 3-5 2000 '), [])
  t.same(hear('c 4-5 500 '), ['gap'])
  t.same(hear('m 3-7 10 "7"'), ['gap', '"7"'], 'from here on it is known')

  tear()
  t.same(mend(), ['gap'])
  await clock.advance(1_000)
  t.same(hear('m 1-9 2000 "9"'), ['"9"'], 'what is missing was sent before the link mended: that is told already')
  t.same(hear('m 2-9 500 "9"'), ['gap', '"9"'], 'it was sent since')
  t.same(hear('m 3-7 10 "7"'), [], 'a repeat from before')
})

test('a link that was broken: one gap, before whatever comes next', async (t) => {
  const { hear, tear, mend } = await start(t)
  t.same(hear('m 7-1 9999 "1"'), ['"1"'])
  t.same(tear(), [])
  t.same(hear('m 7-2 9999 "2"'), ['gap', '"2"'], 'its channel is there before it is known that all are')
  t.same(hear('m 7-3 9999 "3"'), ['"3"'])
  t.same(mend(), [], 'told already')
  tear()
  t.same(tear(), [], 'broken again, before it was whole')
  t.same(mend(), ['gap'])
  t.same(mend(), [])
})

test('the counts of so many rooms are remembered; one that was forgotten begins under another epoch', async (t) => {
  const { broker } = await start(t)
  const publish = async (room: string): Promise<Published> => (await broker.publish([{ room, text: '1' }]))[0] as Published
  const first = await publish('first')
  t.same((await publish('first')).id, { epoch: first.id.epoch, offset: 2 })
  for (let i = 0; i < 20_000; i++) await publish(String(i))
  const { id } = await publish('first')
  t.not(id.epoch, first.id.epoch)
  t.equal(id.offset, 1)
})
