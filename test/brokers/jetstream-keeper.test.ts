import type { Api } from '../../lib/brokers/jetstream/api.js'
import { test } from 'tap'
import { Keeper } from '../../lib/brokers/jetstream/keeper.js'

test('a look that several wait for lasts until the last of their deadlines', async (t) => {
  const asked: number[] = []
  let fail: (error: Error) => void = () => {}
  const info = { server_id: 's' }
  const api = {
    connection: { reach: async () => ({ info }), serverInfo: info },
    async info (deadline: number) {
      asked.push(deadline)
      return await new Promise((_resolve, reject) => { fail = reject })
    }
  }
  const keeper = new Keeper({ api: api as unknown as Api, subject: 's', ensure: async () => {}, changed: () => {} })
  const checks = [100, 200, 900].map((deadline) => keeper.check(deadline).catch(() => {}))
  await new Promise(setImmediate)
  fail(new Error('no'))
  await new Promise(setImmediate)
  t.strictSame(asked, [100, 900])
  fail(new Error('no'))
  await Promise.all(checks)
})
