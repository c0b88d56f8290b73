/**
 * `npm run bench -- NAME [--json] [--rounds N] [--work-in DIR] [--peers NAME,…] [--tree PATH…]`: runs a workload with Holdfast and with each
 * installed peer in turn, prints a table, and ends with one JSON line. Nothing here fails on a slow machine.
 */
import { parseArgs } from 'node:util'
import { benchFiles } from './files.ts'
import { type BenchResult, type BenchSettings, print } from './report.ts'

const BENCHES: Readonly<Record<string, (settings: BenchSettings) => Promise<BenchResult>>> = {
  files: benchFiles,
}

const usage = (): never => {
  console.error(
    `usage: npm run bench -- NAME [--json] [--rounds N] [--work-in DIR] [--peers NAME,...] [--tree PATH ...]\n` +
      `NAME is one of: ${Object.keys(BENCHES).join(', ')}`,
  )
  process.exit(2)
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    peers: { type: 'string', default: '' },
    tree: { type: 'string', multiple: true, default: [] },
    'work-in': { type: 'string', default: '/dev/shm' },
  },
})
const [name = '', ...more] = positionals
const bench = BENCHES[name]
const rounds = Number(values.rounds)
if (bench === undefined || !Number.isInteger(rounds) || rounds < 1) usage()
else {
  const tree = [...values.tree, ...more]
  const settings: BenchSettings = {
    rounds,
    tree: tree.length === 0 ? ['/usr/share', '/usr/lib'] : tree,
    workIn: values['work-in'],
    peers: values.peers === '' ? [] : values.peers.split(','),
    say: (line) => console.error(line),
  }
  print(await bench(settings), values.json)
}
