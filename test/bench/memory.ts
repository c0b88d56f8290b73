/** Memory without disk: what the agent takes while it walks, reads and stores what is only calculated. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { formatBytes, formatCount, formatSpan, GiB, SECOND } from '#shared/units.ts'
import type { Panel } from './chart.ts'
import { machineFacts, machineLines } from './machine.ts'
import { type BenchReport, type BenchSettings, tableOf } from './report.ts'
import { inWorkFolder } from './work-folder.ts'

/** What the agent's process tells of itself. */
export type Sample = {
  readonly backup: number
  /** The backup is over. */
  readonly done: boolean
  readonly seconds: number
  readonly entries: number
  readonly stored_bytes: number
  readonly objects: number
  readonly rss_kib: number
  readonly peak_kib: number
}

type Part = {
  readonly name: string
  readonly says: string
  readonly count: number
  readonly bytes: number
  readonly backups: number
}

const SMALL_BYTES = 100

const partsAt = (scale: number): readonly Part[] => {
  const entries = (count: number, bytes: number): Omit<Part, 'name' | 'says'> => ({
    count: Math.max(1, Math.round(count * scale)),
    bytes,
    backups: 2,
  })
  return [
    {
      name: 'stream',
      says: 'one file of 200 GiB that cannot be compressed',
      count: 1,
      bytes: Math.max(1, Math.round(200 * GiB * scale)),
      backups: 1,
    },
    { name: 'entries-100k', says: '100,000 empty files', ...entries(100_000, 0) },
    { name: 'entries-5m', says: '5 million empty files', ...entries(5_000_000, 0) },
    {
      name: 'files-5m',
      says: '5 million files, all different',
      ...entries(5_000_000, SMALL_BYTES),
    },
  ]
}

const program = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const argumentsOf = (part: Part, folder: string): string[] => [
  '--disable-warning=ExperimentalWarning',
  ...['--import', program('generated.ts'), program('memory-agent.ts'), folder],
  ...[part.count, part.bytes, part.backups].map(String),
]

const lineOf = (sample: Sample): string =>
  [
    `  backup ${sample.backup}, ${formatSpan(sample.seconds * SECOND)}:`,
    `${formatCount(sample.entries)} entries,`,
    `${formatBytes(sample.stored_bytes)} stored,`,
    `RSS ${formatBytes(sample.rss_kib * 1024)},`,
    `peak ${formatBytes(sample.peak_kib * 1024)}`,
  ].join(' ')

/** Said so often; all samples are kept. */
const SAY_SECONDS = 10

const runPart = async (part: Part, settings: BenchSettings): Promise<readonly Sample[]> =>
  await inWorkFolder(settings.workIn, async (folder) => {
    settings.say(`${part.name}: ${part.says}, at scale ${settings.scale}`)
    const child = spawn(process.execPath, argumentsOf(part, folder), {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exit = once(child, 'exit')
    const samples: Sample[] = []
    let said = -SAY_SECONDS
    for await (const line of createInterface({ input: child.stdout })) {
      const sample = JSON.parse(line) as Sample
      samples.push(sample)
      if (!sample.done && sample.seconds - said < SAY_SECONDS) continue
      said = sample.seconds
      settings.say(lineOf(sample))
    }
    const [code] = (await exit) as [number | null]
    if (code !== 0) throw new Error(`the agent's process ended with ${String(code)}`)
    return samples
  })

/** A chart does not need more points than it has room for; the last is always there. */
const MOST_POINTS = 100

const thinned = (samples: readonly Sample[]): readonly Sample[] => {
  const each = Math.ceil(samples.length / MOST_POINTS)
  return samples.filter((one, n) => n % each === 0 || one.done)
}

const panelOf = (part: Part, samples: readonly Sample[]): Panel => ({
  kind: 'lines',
  title: `${part.name}: ${part.says}`,
  x: 'seconds',
  y: 'MiB',
  log: false,
  at: samples.map(({ seconds }) => seconds),
  series: [
    { name: 'resident', values: samples.map(({ rss_kib }) => rss_kib / 1024) },
    { name: 'peak', values: samples.map(({ peak_kib }) => peak_kib / 1024) },
  ],
})

type Measured = { readonly part: Part; readonly samples: readonly Sample[] }

const rowsOf = ({ part, samples }: Measured): string[][] =>
  samples
    .filter(({ done }) => done)
    .map((sample) => [
      part.name,
      String(sample.backup),
      formatCount(part.count),
      formatBytes(part.bytes * part.count),
      formatBytes(sample.stored_bytes),
      formatSpan(sample.seconds * SECOND),
      formatBytes(sample.peak_kib * 1024),
    ])

export const benchMemory = async (settings: BenchSettings): Promise<BenchReport> => {
  const wanted = partsAt(settings.scale).filter(
    ({ name }) =>
      settings.chosen.length === 0 || settings.chosen.some((start) => name.startsWith(start)),
  )
  const measured: Measured[] = []
  for (const part of wanted)
    measured.push({ part, samples: thinned(await runPart(part, settings)) })
  const machine = machineFacts({})
  const { scale } = settings
  const says = 'peak memory of the agent over generated files'
  const head = ['part', 'backup', 'files', 'bytes', 'stored so far', 'after', 'peak']
  return {
    name: 'memory',
    lines: [
      ...machineLines(machine),
      `memory: ${says}; scale ${scale}`,
      '',
      ...tableOf(head, measured.flatMap(rowsOf), 1),
    ],
    json: { name: 'memory', says, scale, machine, parts: measured },
    chart: {
      title: says,
      panels: measured.map(({ part, samples }) => panelOf(part, samples)),
      footer: [`scale ${scale}`, ...machineLines(machine)],
    },
  }
}
