// Finds the programs that the tests run against; on Debian, as root, installs those that are not there, and
// builds those that come from Go. Run before the tests; the tests ask `find(name)` for an address.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { argv, env, exit, getuid } from 'node:process'
import { pathToFileURL } from 'node:url'

/**
 * `variable` names the program where it is not on the PATH; `debian` is the package that brings it. What has a Go
 * `module` is built from that, in this `version`, and kept in our cache: the one on the PATH is another.
 */
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
  nats: {
    variable: 'NATS_SERVER_PATH',
    commands: ['nats-server'],
    debian: 'nats-server'
  },
  'nats-current': {
    variable: 'NATS_SERVER_CURRENT_PATH',
    commands: ['nats-server'],
    module: 'github.com/nats-io/nats-server/v2',
    version: 'v2.15.3'
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

function search (commands, folders) {
  return commands.flatMap((command) => folders.map((folder) => join(folder, command))).find(isProgram)
}

// Debian's servers are where only root looks for programs.
const onPath = (commands) => search(commands, [...(env.PATH ?? '').split(delimiter).filter(Boolean), '/usr/sbin'])

/** The folder that the program of a module is kept in. */
function built ({ commands: [command], version }) {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'fastify-fan-out', `${command}-${version}`)
}

/** The address of a service's program, or undefined. */
export function find (name) {
  const service = SERVICES[name]
  // Where the variable is set it decides: another program than the one named would be a surprise.
  const named = env[service.variable]
  if (named) return isProgram(named) ? named : undefined
  return service.module === undefined ? onPath(service.commands) : search(service.commands, [built(service)])
}

function install (packages) {
  if (getuid?.() !== 0 || !existsSync('/etc/debian_version')) return
  const apt = (...args) => spawnSync('apt-get', args, { stdio: 'inherit', env: { ...env, DEBIAN_FRONTEND: 'noninteractive' } })
  apt('update')
  apt('install', '--yes', '--no-install-recommends', ...packages)
}

/** Builds the program of a module, once for all runs. */
function build (service) {
  const go = onPath(['go']) ?? search(['go'], env.GOROOT ? [join(env.GOROOT, 'bin')] : [])
  if (go === undefined) return
  const folder = built(service)
  mkdirSync(dirname(folder), { recursive: true })
  // Whoever builds at the same time, or is interrupted, leaves no half a program there.
  const own = mkdtempSync(`${folder}-`)
  const { status } = spawnSync(go, ['install', `${service.module}@${service.version}`], { stdio: 'inherit', env: { ...env, GOBIN: own, CGO_ENABLED: '0' } })
  if (status === 0 && search(service.commands, [folder]) === undefined) {
    rmSync(folder, { recursive: true, force: true })
    renameSync(own, folder)
  } else rmSync(own, { recursive: true, force: true })
}

function advice ({ variable, commands, debian, module, version }) {
  if (env[variable]) return `${variable} names no program that can be run`
  return module === undefined
    ? `install it (on Debian: apt-get install ${debian}) so that ${commands.join(' or ')} is on the PATH, or name it by ${variable}`
    : `install Go, with which ${module} ${version} is built (if it is there, its build failed, see above), or name the program by ${variable}`
}

function check () {
  const missing = () => Object.keys(SERVICES).filter((name) => find(name) === undefined)
  const wanted = missing().map((name) => SERVICES[name]).filter(({ variable }) => !env[variable])
  const packages = wanted.flatMap(({ debian }) => debian ?? [])
  if (packages.length > 0) install(packages)
  for (const service of wanted) if (service.module !== undefined) build(service)

  for (const name of missing()) console.error(`The tests need ${name}: ${advice(SERVICES[name])}.`)
  return missing().length === 0
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href && !check()) exit(1)
