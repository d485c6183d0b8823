// Run by `windowless.test.ts` on a copy that has an error in it: `hunt.ts <runs>`. Prints what was found, and at which seed.
import process from 'node:process'
import { simulate } from './simulate.js'

const runs = Number(process.argv[2])
let seed = 1
let wrong: string | undefined
while (wrong === undefined && seed <= runs) wrong = (await simulate(seed++))?.wrong
process.stdout.write(JSON.stringify({ seed: seed - 1, wrong }))
process.exit()
