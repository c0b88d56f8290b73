#!/usr/bin/env node
// `npm run soak -- …`, `npm run bench -- …`: one program of the tests, under the right Node.
import { runProgram } from './ensure.js'

const [program, ...args] = process.argv.slice(2)
await runProgram(program, args)
