// Finds the programs that the tests run against, and on Debian, as root, installs those that are not
// there. Run before the tests; the tests ask `find(name)` for an address.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { argv, env, exit, getuid } from 'node:process'
import { pathToFileURL } from 'node:url'

/** `variable` names the program where it is not on the PATH; `debian` is the package that brings it. */
const SERVICES = {
  chromium: {
    variable: 'CHROMIUM_PATH',
    commands: ['chromium', 'chromium-browser', 'google-chrome'],
    debian: 'chromium'
  },
  firefox: {
    variable: 'FIREFOX_PATH',
    commands: ['firefox-esr', 'firefox'],
    debian: 'firefox-esr'
  },
  redis: {
    variable: 'REDIS_SERVER_PATH',
    commands: ['redis-server'],
    debian: 'redis-server'
  },
  openssl: {
    variable: 'OPENSSL_PATH',
    commands: ['openssl'],
    debian: 'openssl'
  }
}

function isProgram (path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The address of a service's program, or undefined. */
export function find (name) {
  const { variable, commands } = SERVICES[name]
  // Where the variable is set it decides: another program than the one named would be a surprise.
  if (env[variable]) return isProgram(env[variable]) ? env[variable] : undefined
  for (const command of commands) {
    for (const folder of (env.PATH ?? '').split(delimiter)) {
      const path = join(folder, command)
      if (folder !== '' && isProgram(path)) return path
    }
  }
}

function install (packages) {
  if (getuid?.() !== 0 || !existsSync('/etc/debian_version')) return
  const apt = (...args) => spawnSync('apt-get', args, { stdio: 'inherit', env: { ...env, DEBIAN_FRONTEND: 'noninteractive' } })
  apt('update')
  apt('install', '--yes', '--no-install-recommends', ...packages)
}

function check () {
  const missing = () => Object.keys(SERVICES).filter((name) => find(name) === undefined)
  const wanted = missing().filter((name) => !env[SERVICES[name].variable])
  if (wanted.length > 0) install(wanted.map((name) => SERVICES[name].debian))

  for (const name of missing()) {
    const { variable, commands, debian } = SERVICES[name]
    console.error(env[variable]
      ? `The tests need ${name}: ${variable} names no program that can be run.`
      : `The tests need ${name}: install it (on Debian: apt-get install ${debian}) so that ${commands.join(' or ')} is on the PATH, or name it by ${variable}.`)
  }
  return missing().length === 0
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href && !check()) exit(1)
