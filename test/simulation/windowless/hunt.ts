// Run by `mutate.ts` on a copy that has an error in it: `hunt.ts <runs>`. Prints what was found.
import type { Found } from '../mutate.js'
import process from 'node:process'
import { simulate } from './simulate.js'

const runs = Number(process.argv[2])
let seed = 1
let wrong: string | undefined
while (wrong === undefined && seed <= runs) wrong = (await simulate(seed++))?.wrong
process.stdout.write(JSON.stringify({ at: `seed ${seed - 1}`, wrong } satisfies Found))
process.exit()
