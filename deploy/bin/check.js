#!/usr/bin/env node
// `npm run check`: format, types, lint, boundaries, then every test that starts no process of ours. Under two minutes.
import { runChecks } from './checks.js'

process.exitCode = await runChecks(['spec', 'arch', 'flow', 'contract'], process.argv.slice(2))
