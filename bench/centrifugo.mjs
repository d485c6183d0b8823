// Builds Centrifugo, a contestant of the bench, with Go 1.26 or later: `node bench/centrifugo.mjs`. The bench
// asks `find()` for the program, and does without it where there is none.
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { argv, env, exit } from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'

const VERSION = '6.9.1'
const MODULE = 'github.com/centrifugal/centrifugo/v6'
const folder = fileURLToPath(new URL('../node_modules/.cache/centrifugo', import.meta.url))

export const HOW = 'Centrifugo is not at hand: build it with `node bench/centrifugo.mjs` (with Go 1.26 or later), put it on the PATH, or name it by CENTRIFUGO.'

function isProgram (path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The address of the program, or undefined. Where CENTRIFUGO is set it decides. */
export function find () {
  if (env.CENTRIFUGO) return isProgram(env.CENTRIFUGO) ? env.CENTRIFUGO : undefined
  const folders = [folder, ...(env.PATH ?? '').split(delimiter).filter((path) => path !== '')]
  return folders.map((path) => join(path, 'centrifugo')).find(isProgram)
}

function build () {
  // One package at a time: it is built on the machine that something else may be measured on.
  const args = ['install', '-p', '1', '-ldflags', `-s -w -X ${MODULE}/internal/build.Version=${VERSION}`, `${MODULE}@v${VERSION}`]
  const { status, error } = spawnSync('go', args, { stdio: 'inherit', env: { ...env, CGO_ENABLED: '0', GOBIN: folder } })
  if (error) console.error(`Go is needed to build Centrifugo: ${error.message}`)
  return status ?? 1
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) exit(build())
