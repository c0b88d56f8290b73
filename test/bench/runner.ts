/**
 * `npm run bench -- NAME [options]`: runs a workload with Holdfast and with each installed peer in turn, prints a table,
 * and ends with one JSON line. Nothing here fails on a slow machine. test/README.md says what each does.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { svgOf } from './chart.ts'
import { benchFiles } from './files.ts'
import { GROWTHS } from './growth.ts'
import { benchMemory } from './memory.ts'
import type { BenchReport, BenchSettings } from './report.ts'
import { benchWorkload, WORKLOADS } from './workloads.ts'
import { leaveCleanlyOnSignals } from './work-folder.ts'

type Bench = (settings: BenchSettings) => Promise<BenchReport>

const BENCHES: Readonly<Record<string, Bench>> = {
  files: benchFiles,
  ...Object.fromEntries(
    Object.entries(WORKLOADS).map(([name, workload]) => [name, benchWorkload(name, workload)]),
  ),
  memory: benchMemory,
}

const USAGE = `usage: npm run bench -- NAME [--rounds N] [--scale F] [--seed S] [--peers NAME,...]
       [--save] [--json] [--work-in DIR] [--tree PATH ...] [--restic PROGRAM]
       npm run bench -- --growth ${Object.keys(GROWTHS).join('|')} [--scale F] [--save] [--json]
NAME is one of: ${Object.keys(BENCHES).join(', ')}`

const refuse = (): never => {
  console.error(USAGE)
  process.exit(2)
}

const results = new URL('results/', import.meta.url)

const save = ({ name, json, chart }: BenchReport, say: (line: string) => void): void => {
  mkdirSync(results, { recursive: true })
  writeFileSync(new URL(`${name}.json`, results), `${JSON.stringify(json, null, 2)}\n`)
  writeFileSync(new URL(`${name}.svg`, results), svgOf(chart.title, chart.panels, chart.footer))
  say(`saved test/bench/results/${name}.json and ${name}.svg`)
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    growth: { type: 'string' },
    json: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    seed: { type: 'string', default: 'bench' },
    peers: { type: 'string', default: '' },
    restic: { type: 'string', default: 'restic' },
    tree: { type: 'string', multiple: true, default: [] },
    'work-in': { type: 'string', default: '/dev/shm' },
  },
})

const chosen = (): Bench => {
  const [name = ''] = positionals
  const { growth } = values
  const [table, key] = growth === undefined ? [BENCHES, name] : [GROWTHS, growth]
  return (Object.hasOwn(table, key) ? table[key] : undefined) ?? refuse()
}

const settingsOf = (): BenchSettings => {
  const rounds = Number(values.rounds)
  const scale = Number(values.scale)
  if (!Number.isInteger(rounds) || rounds < 1 || !(scale > 0)) refuse()
  return {
    rounds,
    scale,
    seed: values.seed,
    chosen: [...values.tree, ...positionals.slice(1)],
    workIn: values['work-in'],
    peers: values.peers === '' ? [] : values.peers.split(','),
    restic: values.restic,
    say: (line) => console.error(line),
  }
}

/** As the launcher has it (deploy/bin/ensure.js), however this was started: programs that are not compiled anew are smaller. */
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('../../node_modules/.cache/node', import.meta.url),
)
leaveCleanlyOnSignals()
const settings = settingsOf()
const report = await chosen()(settings)
// With `--json` standard output holds the JSON line alone.
const show = values.json ? console.error : console.log
for (const line of report.lines) show(line)
if (values.save) save(report, settings.say)
console.log(JSON.stringify(report.json))
