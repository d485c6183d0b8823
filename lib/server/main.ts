#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { buildServer } from './server.js'
import { readSettings, SettingsError, VARIABLES, type Settings } from './settings.js'
import { banner } from './banner.js'

// How long requests in flight may take when the server leaves, in ms; longer than `close.timeout` of the plugin.
const CLOSE_DEADLINE = 8_000

/** What ended the program before it served, told by the variable that mends it where there is one. */
function explain (error: unknown, { host, port }: Settings): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') return `PORT ${port} is already in use on ${host}: choose another`
  if (code === 'EACCES') return `PORT ${port} may not be opened by this user: choose one above 1023`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return `HOST ${host} is not an address of this machine`
  // Of the plugin's options only the broker's URL is the user's own.
  if (code?.startsWith('FAN_OUT_ERR_')) {
    const { cause } = error as Error
    return `FAN_OUT_BROKER cannot be used: ${message}${cause instanceof Error && !message.includes(cause.message) ? ` (${cause.message})` : ''}`
  }
  return error instanceof Error ? error.stack ?? message : String(error)
}

function fail (message: string): never {
  process.stderr.write(`fastify-fan-out: ${message}\n`)
  process.exit(1)
}

function load (): Settings {
  try {
    return readSettings(process.env)
  } catch (error) {
    if (error instanceof SettingsError) fail(error.message)
    throw error
  }
}

async function serve (settings: Settings): Promise<void> {
  // What people read goes to stdout; the log, a JSON object a line, to stderr.
  const app = await buildServer(settings, { logger: { level: 'info', stream: process.stderr } })

  let leaving = false
  const leave = (signal: NodeJS.Signals) => {
    // Asked twice, by someone who will not wait: no clean-up, and the shell's code for the signal.
    if (leaving) process.exit(signal === 'SIGINT' ? 130 : 143)
    leaving = true
    process.stdout.write(`${signal}: closing; once more to exit at once\n`)
    // A connection that has never sent a request (browsers open some ahead) would be waited for.
    setTimeout(() => app.server.closeAllConnections(), CLOSE_DEADLINE).unref()
    app.close().then(() => process.exit(0), (error) => fail(explain(error, settings)))
  }
  process.on('SIGTERM', leave)
  process.on('SIGINT', leave)

  await app.listen({ host: settings.host, port: settings.port })
  const address = app.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : settings.port
  process.stdout.write(banner(settings, port))
}

const [argument] = process.argv.slice(2)
if (argument === '--help' || argument === '-h') {
  const lines = VARIABLES.map(([name, meaning]) => `  ${name.padEnd(22)}${meaning}`)
  process.stdout.write(`Usage: fastify-fan-out\n\nRuns a server of rooms. It is told by its environment:\n${lines.join('\n')}\n`)
} else if (argument === '--version') {
  // From dist/lib/server, where the built program stands.
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  process.stdout.write(`${(JSON.parse(manifest) as { version: string }).version}\n`)
} else if (argument !== undefined) {
  fail(`takes no argument ${JSON.stringify(argument)}: see fastify-fan-out --help`)
} else {
  const settings = load()
  await serve(settings).catch((error) => fail(explain(error, settings)))
}
