#!/usr/bin/env node
import { runProgram } from './ensure.js'

await runProgram('agent/main.ts', process.argv.slice(2))
