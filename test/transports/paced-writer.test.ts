import { test } from 'tap'
import { PacedWriter } from '../../lib/transports/paced-writer.js'

const KiB = 1024
const PIECE = Buffer.alloc(64 * KiB)

/** A stream whose peer takes bytes when the test says so. */
class FakeStream {
  readonly #unsent: Array<{ size: number, written: (() => void) | undefined }> = []

  get writableLength (): number {
    return this.#unsent.reduce((sum, { size }) => sum + size, 0)
  }

  write (buffer: Buffer, written?: () => void): boolean {
    this.#unsent.push({ size: buffer.length, written })
    return false
  }

  /** The peer takes the first `count` writes. */
  take (count = this.#unsent.length): void {
    for (const { written } of this.#unsent.splice(0, count)) written?.()
  }
}

/** A replay that writes as much as it may, whenever it may. */
class Replay {
  left: number
  readonly #writer: PacedWriter

  constructor (writer: PacedWriter, pieces: number) {
    this.left = pieces
    this.#writer = writer
    this.resume()
  }

  // As a room does, in a later microtask.
  resume (): void {
    void Promise.resolve().then(() => {
      while (this.left > 0 && this.#writer.ready(this)) {
        this.left--
        if (!this.#writer.write(PIECE, this)) return
      }
    })
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a replay goes on although live messages were written behind it', async (t) => {
  const stream = new FakeStream()
  const writer = new PacedWriter(stream, 1024 * KiB)
  const replay = new Replay(writer, 20)
  await turn()
  const written = 20 - replay.left
  writer.writeNow(Buffer.alloc(512 * KiB))
  stream.take(written)
  await turn()
  t.equal(20 - replay.left, written, 'more than a replay may leave unsent is unsent yet')
  stream.take()
  await turn()
  t.ok(20 - replay.left > written, 'it was told that they were taken')
})

test('a replay that begins while live messages are unsent waits, and goes on', async (t) => {
  const stream = new FakeStream()
  const writer = new PacedWriter(stream, 1024 * KiB)
  writer.writeNow(Buffer.alloc(512 * KiB))
  const replay = new Replay(writer, 1)
  await turn()
  t.equal(replay.left, 1)
  stream.take()
  await turn()
  t.equal(replay.left, 0)
})

test('many replays share what one may leave unsent, and take turns', async (t) => {
  const stream = new FakeStream()
  const writer = new PacedWriter(stream, 1024 * KiB)
  const replays = Array.from({ length: 50 }, () => new Replay(writer, 40))
  let most = 0
  let turns = 0
  while (replays.some(({ left }) => left > 0)) {
    await turn()
    most = Math.max(most, stream.writableLength)
    stream.take()
    if (++turns === 60) t.equal(replays.filter(({ left }) => left === 40).length, 0, 'none has yet to begin')
    if (turns > 2_000) break
  }
  t.same(replays.filter(({ left }) => left > 0), [], 'all came to their end')
  t.ok(most <= 320 * KiB, `${most} bytes were unsent at most`)
})

test('only the live stream counts as unread', async (t) => {
  const stream = new FakeStream()
  const writer = new PacedWriter(stream, 100 * KiB)
  const replay = new Replay(writer, 10)
  await turn()
  t.ok(stream.writableLength > 100 * KiB)
  t.notOk(writer.tooSlow)
  writer.writeNow(Buffer.alloc(101 * KiB))
  t.ok(writer.tooSlow)
  stream.take()
  await turn()
  t.notOk(writer.tooSlow)
  stream.take()
  await turn()
  stream.take()
  t.equal(replay.left, 0)
})

test('what is taken of a replay is a sign of life, what is written is none', async (t) => {
  const stream = new FakeStream()
  const writer = new PacedWriter(stream, 100 * KiB)
  const replay = new Replay(writer, 1)
  await turn()
  t.equal(replay.left, 0)
  t.notOk(writer.hasAdvanced())
  stream.take()
  t.ok(writer.hasAdvanced())
  t.notOk(writer.hasAdvanced(), 'since it was last asked')
  writer.writeNow(PIECE)
  stream.take()
  t.notOk(writer.hasAdvanced(), 'the system takes a live message whether anybody is there or not')
})
