#!/usr/bin/env node
// `npm start -- PATH…`: the control plane with everything that it needs, and a backup of the paths.
import { runProgram } from './ensure.js'

// npm runs scripts in the package's folder; INIT_CWD is where the person typed the command.
const from = process.env.INIT_CWD
if (from !== undefined) process.chdir(from)
await runProgram('server/main.ts', ['up', ...process.argv.slice(2)])
