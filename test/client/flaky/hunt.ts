import process from 'node:process'
import { hunt } from './round.js'
import { twoServers } from './servers.js'

// A program of its own: it hunts in whatever client stands beside it, and prints what it finds. Nothing else is to start it.
const [, , seed, time] = process.argv
if (seed === undefined) process.exit()
const servers = await twoServers({ teardown () {} })
const found = await hunt(Number(seed), servers, Number(time), { rounds: 0, messages: 0, gaps: 0, resumes: 0, published: 0 })
process.stdout.write(JSON.stringify(found), () => process.exit())
