import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'

// Beyond it something hangs, in ms: a question takes some seconds, 100,000 joins on a Redis that shares two cores up to a minute and a half.
const DEADLINE = 300_000
// How long a process may take to end, in ms.
const GRACE = 2_000

interface Asked { resolve: (answer: any) => void, reject: (error: Error) => void }

/** A process that is asked questions, and ends with its parent. */
export class Child<Ready> {
  readonly #process: ChildProcess
  readonly #asked = new Map<number, Asked>()
  #last = 0
  ready!: Ready

  private constructor (process: ChildProcess) {
    this.#process = process
    process.on('message', ({ id, answer, error }: { id: number, answer?: unknown, error?: string }) => {
      const asked = this.#asked.get(id)
      this.#asked.delete(id)
      if (error === undefined) asked?.resolve(answer)
      else asked?.reject(new Error(error))
    })
    process.on('exit', (code, signal) => {
      for (const { reject } of this.#asked.values()) reject(new Error(`${process.spawnargs[4]} has ended, with ${code ?? signal}`))
      this.#asked.clear()
    })
  }

  /** Starts a program of `bench/`, which calls `serve`; `options` are its argument. */
  static async start<Ready> (program: URL, options: object = {}): Promise<Child<Ready>> {
    // What a test runner sets for its own children is not for ours.
    const { NODE_OPTIONS, ...env } = process.env
    const child = new Child<Ready>(spawn(process.execPath, ['--expose-gc', '--import', 'tsx', program.pathname, JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...env, NODE_ENV: 'production' }
    }))
    child.ready = await child.#answer(0)
    return child
  }

  get pid (): number {
    return this.#process.pid as number
  }

  readonly ask = async (question: { ask: string }): Promise<any> => {
    const id = ++this.#last
    this.#process.send({ id, question })
    return await this.#answer(id)
  }

  async #answer (id: number): Promise<any> {
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise((resolve, reject) => {
        this.#asked.set(id, { resolve, reject })
        timer = setTimeout(() => reject(new Error(`${this.#process.spawnargs[4]} has not answered within ${DEADLINE} ms`)), DEADLINE)
      })
    } finally {
      clearTimeout(timer)
    }
  }

  /** It ends by itself when it has no parent, and is killed where it does not. */
  async stop (): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = once(this.#process, 'exit')
    if (this.#process.connected) this.#process.disconnect()
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), GRACE)
    await ended
    clearTimeout(timer)
  }
}

/** The child's side: says that it is ready, and answers, until its parent is gone. */
export function serve (ready: object, answers: Record<string, (question: any) => unknown>): void {
  process.on('disconnect', () => process.exit())
  process.on('message', ({ id, question }: { id: number, question: { ask: string } }) => {
    Promise.resolve().then(() => answers[question.ask]!(question)).then(
      (answer) => process.send?.({ id, answer }),
      (error: Error) => process.send?.({ id, error: error.stack })
    )
  })
  process.send?.({ id: 0, answer: ready })
}

/** What the parent gave to `Child.start`. */
export function options<Options> (): Options {
  return JSON.parse(process.argv[2] as string) as Options
}
