import { test } from 'tap'
import { rounds } from './rounds.js'

// The machinery of `npm run soak`, for a few rounds of each kind.
for (const on of ['redis', 'jetstream'] as const) {
  test(`random troubles on ${on}`, { timeout: 55_000 }, async (t) => {
    const begun = performance.now()
    const kinds = new Set<boolean>()
    for (let seed = Number(process.env['FAULTS_SEED'] ?? Math.floor(Math.random() * 1e9)); kinds.size < 2 || performance.now() - begun < 10_000; seed++) {
      const { lossy, troubles, wrong, acknowledged, delivered, gaps, healing } = await rounds[on](seed)
      kinds.add(lossy)
      t.strictSame(wrong, [], `FAULTS_SEED=${seed}: ${troubles.join(', ')}`)
      t.ok(acknowledged > 0 && delivered > acknowledged)
      t.comment(`${acknowledged} acknowledged, ${delivered} delivered, ${gaps} gaps, healed in ${Math.round(healing)} ms`)
    }
  })
}
