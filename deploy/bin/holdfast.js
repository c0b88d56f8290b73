#!/usr/bin/env node
import { runProgram } from './ensure.js'

await runProgram('server/main.ts', process.argv.slice(2))
