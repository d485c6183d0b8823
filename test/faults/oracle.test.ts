import type { Entry, Outcome, Retained } from './oracle.js'
import { test } from 'tap'
import { judge } from './oracle.js'
import { judgeWindowless } from './windowless.js'

// The oracle has to bite: what is right passes, and each kind of wrong is found for what it is.

const subscribed = (id: string, recovered?: boolean): Entry => ({ type: 'subscribed', id, recovered, at: 0 })
const message = (id: string, text: string): Entry => ({ type: 'message', id, text, at: 1 })
const gap = (id: string, reason: string, from?: string): Entry => ({ type: 'gap', id, reason, from, at: 2 })
const published = (id: string, text: string): Outcome => ({ room: 'r', text, id, result: 'acknowledged', at: 1, took: 0 })

/** Acknowledged and still there: a, b, c, d as 1-1 to 1-4. */
const outcomes = [...'abcd'].map((text, i) => published(`1-${i + 1}`, text))
const retained: Retained = [...'abcd'].map((text, i) => ({ id: `1-${i + 1}`, text }))

interface Case { entries: Entry[], others?: Entry[], published?: Outcome[], retained?: Retained, duplicates?: number, disorder?: number, losses?: number }

const [a, b, c, d] = [message('1-1', 'a'), message('1-2', 'b'), message('1-3', 'c'), message('1-4', 'd')]
const start = subscribed('1-0')
// d was lost, and its offset went to x.
const lost: Pick<Case, 'published' | 'retained'> = { published: [...outcomes, published('2-4', 'x')], retained: [...retained.slice(0, 3), { id: '2-4', text: 'x' }] }
const x = message('2-4', 'x')

const cases: Record<string, Case> = {
  'all of it': { entries: [start, a, b, c, d] },
  'all since it came': { entries: [subscribed('1-2'), c, d] },
  'all over a resume': { entries: [start, a, b, subscribed('1-2', true), c, d] },
  'a gap in the place of what is missing': { entries: [start, a, gap('1-3', 'expired'), d] },
  'a gap where it resumed': { entries: [start, a, subscribed('1-3', false), gap('1-3', 'expired'), d] },
  'a gap at the end': { entries: [start, a, b, c, gap('1-4', 'expired')] },
  'what was lost, where the window has moved past the fork': { entries: [start, a, b, gap('2-3', 'expired'), x], ...lost },
  'what was lost, and a gap before it in the same epoch': { entries: [start, a, gap('1-2', 'expired'), c, x], ...lost, losses: 1 },
  'a duplicate': { entries: [start, a, b, b, c, d], duplicates: 1, disorder: 1 },
  'a duplicate over a resume': { entries: [start, a, b, subscribed('1-2', true), b, c, d], duplicates: 1, disorder: 1 },
  'a duplicate under another id': { entries: [start, a, b, c, d, message('1-5', 'a')], duplicates: 1 },
  'what is retained twice': { entries: [start, a, b, c, d], retained: [...retained, { id: '1-5', text: 'a' }], duplicates: 1 },
  'two in the wrong order': { entries: [start, a, c, b, d], disorder: 1, losses: 2 },
  'an order that only another contradicts': { entries: [start, a, b, c, d], others: [start, message('1-1', 'b'), message('1-2', 'a'), c, d], disorder: 2 },
  'a hole without a gap': { entries: [start, a, b, d], losses: 2 },
  'a hole at the end': { entries: [start, a, b, c], losses: 1 },
  'a hole at the beginning': { entries: [start, b, c, d], losses: 2 },
  'a hole that a resume leaves': { entries: [start, a, subscribed('1-2', true), c, d], losses: 3 },
  'a gap in the wrong place: after it': { entries: [start, a, c, gap('1-3', 'expired'), d], losses: 2 },
  'a gap in the wrong place: before it': { entries: [start, gap('1-1', 'expired'), b, d], losses: 2 },
  'a gap that is too short': { entries: [start, a, gap('1-2', 'expired'), d], losses: 2 },
  'not recovered, and no gap': { entries: [start, a, b, c, d, subscribed('1-4', false)], losses: 1 },
  'what was never published': { entries: [start, a, b, c, d, message('1-5', 'y')], disorder: 1, losses: 1 },
  'what was refused': { entries: [start, a, b, c, d, message('1-5', 'y')], published: [...outcomes, { room: 'r', text: 'y', result: 'refused', at: 1, took: 0 }], disorder: 1, losses: 1 },
  'what nobody knows the fate of, and is there': { entries: [start, a, b, c, d, message('1-5', 'y')], published: [...outcomes, { room: 'r', text: 'y', result: 'unknown', at: 1, took: 0 }], retained: [...retained, { id: '1-5', text: 'y' }] },

  'a fork that disowns': { entries: [start, a, b, c, d, gap('2-3', 'forked', '1-3'), x], ...lost },
  'a fork for who missed it': { entries: [start, a, b, c, gap('2-3', 'forked', '1-3'), x], ...lost },
  'a fork that comes late': { entries: [start, a, b, c, x, gap('3-4', 'forked', '2-4')], ...lost },
  'a fork that nobody tells': { entries: [start, a, b, c, x], ...lost, losses: 1 },
  'a fork that does not disown': { entries: [start, a, b, c, d], published: outcomes, retained: retained.slice(0, 3), losses: 1 },
  'a fork that told an earlier loss only': { entries: [start, a, gap('1-1', 'forked', '1-1'), b, c, d, x], ...lost, disorder: 1, losses: 1 },
  'a fork that comes to an end before it': { entries: [start, a, b, c, d, gap('2-3', 'forked', '1-2'), x], ...lost },
  'a fork whose messages come twice': { entries: [start, a, b, c, d, gap('2-3', 'forked', '1-3'), message('2-4', 'c')], published: outcomes, retained: [...retained.slice(0, 2), { id: '2-4', text: 'c' }], duplicates: 1, disorder: 0 },
  'a reused offset without a gap': { entries: [start, a, b, c, d, x], ...lost, disorder: 1, losses: 1 },
  'another epoch, in which it begins again': { entries: [start, a, b, c, d, gap('2-0', 'epoch'), message('2-1', 'x')], published: [...outcomes, published('2-1', 'x')], retained: [{ id: '2-1', text: 'x' }] },
  'another epoch, of which something is missing': { entries: [start, a, b, c, d, gap('2-0', 'epoch'), message('2-2', 'y')], published: [...outcomes, published('2-1', 'x'), published('2-2', 'y')], retained: [{ id: '2-1', text: 'x' }, { id: '2-2', text: 'y' }], losses: 2 },
  'what was missing before another epoch': { entries: [start, a, b, d, gap('2-0', 'epoch')], retained: [], losses: 1 }
}

for (const [name, { entries, others = [start, a, b, c, d], ...given }] of Object.entries(cases)) {
  test(name, async (t) => {
    const transcripts = [{ name: 'one', room: 'r', entries }]
    // Another subscriber, where it is not the point that history went another way.
    if (given.published === undefined && given.retained === undefined) transcripts.push({ name: 'other', room: 'r', entries: others })
    const verdict = judge(transcripts, given.published ?? outcomes, given.retained ?? retained)
    t.match({ duplicates: verdict.duplicates.length, disorder: verdict.disorder.length, losses: verdict.losses.length },
      { duplicates: given.duplicates ?? 0, disorder: given.disorder ?? 0, losses: given.losses ?? 0 }, JSON.stringify(verdict))
  })
}

test('gaps are counted, and what is late is no loss before it is over', async (t) => {
  const verdict = judge([{ name: 'one', room: 'r', entries: [start, a, gap('1-3', 'expired')] }], [...outcomes, { room: 'r', text: 'e', result: 'pending', at: 2, took: 0 }])
  t.equal(verdict.gaps, 1)
  t.equal(verdict.losses.length, 1, 'd')
})

// Two servers publish, under the epochs 1 and 2; a to d are the first's, x and y the second's.
const sent = [...[...'abcd'].map((text, i) => published(`1-${i + 1}`, text)), published('2-1', 'x'), published('2-2', 'y')]
const [one, other] = [message('2-1', 'x'), message('2-2', 'y')]
const came: Entry = { ...subscribed('9-0'), server: 'A' } as Entry
const back = (id: string, server = 'A'): Entry => ({ type: 'subscribed', id, recovered: false, server, at: 1 })
const hole = (id: string): Entry => gap(id, 'expired')

const windowless: Record<string, Pick<Case, 'entries' | 'published' | 'duplicates' | 'disorder' | 'losses'> & { gaps?: number }> = {
  'all of it': { entries: [came, a, b, c, d, one, other] },
  'another order of the servers': { entries: [came, one, a, b, other, c, d] },
  'a gap in the place of what is missing, over the messages of another': { entries: [came, a, one, hole('8-0'), other, d], gaps: 1 },
  'a gap at the end': { entries: [came, a, one, other, hole('8-0')], gaps: 1 },
  'a gap at the beginning, which stands for all before': { entries: [came, hole('8-0'), c, d, other], gaps: 1 },
  'back, and told': { entries: [came, a, back('1-1'), hole('1-1'), d, one, other] },
  'back twice, cut off before it was told': { entries: [came, a, back('1-1'), back('2-1'), hole('2-1'), d, other] },
  'back elsewhere, where what it had is still on its way': { entries: [came, a, b, back('1-1', 'B'), hole('1-1'), b, c, d, one, other] },
  'what nobody knows the fate of, missing': { entries: [came, a, b, d, one, other], published: sent.map((outcome) => outcome.text === 'c' ? { ...outcome, result: 'unknown' } : outcome) },
  'a hole without a gap': { entries: [came, a, b, d, one, other], losses: 1 },
  'a hole at the end': { entries: [came, a, b, c, one, other], losses: 1 },
  'a hole of one, and a gap that stands for one of the other': { entries: [came, a, c, d, one, hole('8-0')], losses: 1, gaps: 1 },
  'a gap in the wrong place: after it': { entries: [came, a, c, hole('8-0'), d, one, other], losses: 1, gaps: 1 },
  'a gap in the wrong place: before it': { entries: [came, hole('8-0'), a, c, d, one, other], losses: 1, gaps: 1 },
  'a gap that is older than what is missing': { entries: [came, hole('8-0'), a, b, c, d, one], published: sent.map((outcome) => outcome.text === 'y' ? { ...outcome, at: 3 } : outcome), losses: 1, gaps: 1 },
  'back, and not told': { entries: [came, a, b, c, d, one, other, back('2-2')], losses: 1 },
  'back, and not told before the next message': { entries: [came, a, b, c, one, other, back('2-2'), d, hole('2-2')], losses: 1, gaps: 1 },
  'back, and said to have recovered': { entries: [came, a, b, c, d, one, other, subscribed('2-2', true), hole('2-2')], losses: 1, gaps: 1 },
  'a duplicate': { entries: [came, a, b, b, c, d, one, other], duplicates: 1 },
  'a duplicate of long ago': { entries: [came, a, b, c, d, one, other, { ...back('2-2', 'B'), at: 9_000 }, hole('2-2'), a], duplicates: 1 },
  'a duplicate on the same server': { entries: [came, a, b, c, d, one, other, back('2-2'), hole('2-2'), d], duplicates: 1 },
  'two of one server in the wrong order': { entries: [came, a, c, b, d, one, other], disorder: 1 },
  'an id that is another message elsewhere': { entries: [came, a, b, c, d, one, message('2-2', 'a')], disorder: 1, losses: 1 },
  'what was refused': { entries: [came, a, b, c, d, one, other], published: sent.map((outcome) => outcome.text === 'y' ? { ...outcome, result: 'refused' } : outcome), disorder: 1 },
  'a gap of a reason that there is none for': { entries: [came, a, b, c, d, one, other, gap('8-0', 'forked', '1-1')], disorder: 1, gaps: 1 }
}

for (const [name, { entries, published, duplicates = 0, disorder = 0, losses = 0, gaps = 0 }] of Object.entries(windowless)) {
  test(`where nothing is kept: ${name}`, async (t) => {
    const verdict = judgeWindowless([{ name: 'one', room: 'r', entries }], published ?? sent)
    t.match({ ...verdict, duplicates: verdict.duplicates.length, disorder: verdict.disorder.length, losses: verdict.losses.length }, { duplicates, disorder, losses, gaps }, JSON.stringify(verdict))
  })
}
