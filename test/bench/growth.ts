/** How the cost of ours grows: with the number of files, and from backup to backup. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, openDatabase } from '#server/io/db/open.ts'
import { readPidFile } from '#server/io/embedded/postgres/processes.ts'
import { formatBytes, formatCount, MiB } from '#shared/units.ts'
import { sizeOfDatabase } from '../support/database-dump.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { seeded } from '../support/seeded.ts'
import type { Panel } from './chart.ts'
import { drawsOf, fileIn, makeFiles, prose, type Writer } from './inputs.ts'
import { type Machine, machineFacts, machineLines } from './machine.ts'
import { bytesBelow } from './measure.ts'
import { costOfBackup, storeOf } from './ours.ts'
import { type BenchReport, type BenchSettings, tableOf } from './report.ts'
import { rounded } from './runs.ts'
import { inWorkFolder } from './work-folder.ts'
import { settle } from './workloads.ts'

/** One backup and what it left behind. */
export type Step = {
  readonly files: number
  /** 1 for the first of its job. */
  readonly backup: number
  readonly work: 'first' | 'unchanged' | 'changed'
  readonly wall_s: number
  readonly cpu_s: number
  readonly cpu_all_s: number
  readonly peak_kib: number
  /** Of the control plane's process, which is the embedded store's too. */
  readonly plane_peak_kib: number
  readonly rows: number
  readonly database_bytes: number
  readonly stored_bytes: number
}

const SIZES = [10_000, 100_000, 1_000_000] as const
const BACKUPS = 100
const BACKUP_FILES = 20_000
const FILE_BYTES = 600
/** Each time other files are changed, one in so many. */
const ONE_IN = 100

type Tree = { readonly folder: string; readonly files: number; readonly text: Writer }

const makeTree = (folder: string, files: number, settings: BenchSettings): Tree => {
  const text = prose(drawsOf(seeded(`${settings.seed}/growth`)))
  mkdirSync(folder)
  makeFiles(folder, files, () => text(FILE_BYTES))
  return { folder, files, text }
}

const changeSome = ({ folder, files, text }: Tree, time: number): void => {
  for (let n = time % ONE_IN; n < files; n += ONE_IN)
    writeFileSync(fileIn(folder, n), text(FILE_BYTES))
}

type World = {
  readonly instance: Instance
  readonly server: Protected
  readonly database: Database
}

const openWorld = async (instance: Instance, tree: Tree): Promise<World> => {
  const server = await instance.protect('bench', [tree.folder])
  const found = await readPidFile(join(instance.data, 'postgres', 'data'))
  const connect = { socket: found?.socket ?? '', user: 'holdfast', database: 'holdfast' }
  return { instance, server, database: openDatabase(connect, { maxConnections: 1 }) }
}

const step = async (
  { instance, server, database }: World,
  known: Pick<Step, 'files' | 'backup' | 'work'>,
): Promise<Step> => {
  const cost = await costOfBackup(instance, server)
  const { rows, bytes } = await sizeOfDatabase(database)
  return {
    ...known,
    wall_s: rounded(cost.wall_s),
    cpu_s: rounded(cost.cpu_s),
    cpu_all_s: rounded(cost.all),
    peak_kib: cost.peak_kib,
    plane_peak_kib: cost.plane_peak_kib,
    rows,
    database_bytes: bytes,
    stored_bytes: bytesBelow(storeOf(instance)),
  }
}

/** A tree of so many files and an instance of its own, both gone afterwards. */
const withWorld = async (
  files: number,
  settings: BenchSettings,
  use: (world: World, tree: Tree) => Promise<Step[]>,
): Promise<Step[]> =>
  await inWorkFolder(settings.workIn, async (work) => {
    settings.say(`${formatCount(files)} files ...`)
    const tree = makeTree(join(work, 'tree'), files, settings)
    await settle()
    const instance = await startInstance(join(work, 'us'))
    try {
      const world = await openWorld(instance, tree)
      try {
        return await use(world, tree)
      } finally {
        await world.database.close()
      }
    } finally {
      await instance.close()
    }
  })

const perFile = (seconds: number, { files }: Step): number => (1e6 * seconds) / files

/** Units are in the heads, so that a row fits 80 columns. */
const HEAD = ['wall s', 'us/file', 'cpu us/f', 'agent', 'plane', 'rows', 'stored'] as const

const rowOf = (one: Step): string[] => [
  one.wall_s.toFixed(2),
  perFile(one.wall_s, one).toFixed(1),
  perFile(one.cpu_all_s, one).toFixed(1),
  formatBytes(one.peak_kib * 1024),
  formatBytes(one.plane_peak_kib * 1024),
  formatCount(one.rows),
  formatBytes(one.stored_bytes),
]

type Told = {
  readonly name: string
  readonly says: string
  readonly settings: BenchSettings
  readonly steps: readonly Step[]
  readonly table: readonly string[]
  readonly panels: readonly Panel[]
}

const told = ({ name, says, settings, steps, table, panels }: Told): BenchReport => {
  const machine: Machine = machineFacts({})
  const { scale } = settings
  return {
    name,
    lines: [...machineLines(machine), `${name}: ${says}; scale ${scale}`, '', ...table],
    json: { name, says, scale, machine, steps },
    chart: { title: says, panels, footer: [`scale ${scale}`, ...machineLines(machine)] },
  }
}

const panel = (
  axis: Pick<Extract<Panel, { kind: 'lines' }>, 'x' | 'at' | 'log'>,
  [title, y]: readonly [string, string],
  series: Panel['series'],
): Panel => ({ kind: 'lines', ...axis, title, y, series })

const MEMORY = ['Peak memory of the process', 'MiB'] as const
const mib = (kib: number): number => kib / 1024

const growthOfFiles = async (settings: BenchSettings): Promise<BenchReport> => {
  const steps: Step[] = []
  const sizes = SIZES.map((size) => Math.max(ONE_IN, Math.round(size * settings.scale)))
  for (const files of sizes)
    steps.push(
      ...(await withWorld(files, settings, async (world, tree) => {
        const first = await step(world, { files, backup: 1, work: 'first' })
        const second = await step(world, { files, backup: 2, work: 'unchanged' })
        changeSome(tree, 1)
        return [first, second, await step(world, { files, backup: 3, work: 'changed' })]
      })),
    )
  const works = ['first', 'unchanged', 'changed'] as const
  const axis = { x: 'files', at: sizes, log: true }
  const of = (work: Step['work'], value: (one: Step) => number): number[] =>
    steps.filter((one) => one.work === work).map(value)
  const byWork = (value: (one: Step) => number): Panel['series'] =>
    works.map((work) => ({ name: work, values: of(work, value) }))
  const rows = steps.map((one) => [formatCount(one.files), one.work, ...rowOf(one)])
  return told({
    name: 'growth-files',
    says: 'cost of ours by number of files, 600 bytes each',
    settings,
    steps,
    table: tableOf(['files', 'backup', ...HEAD], rows, 2),
    panels: [
      panel(
        axis,
        ['Time of a file', 'microseconds'],
        byWork((one) => perFile(one.wall_s, one)),
      ),
      panel(
        axis,
        ['Work of the processors for a file, all parts', 'CPU microseconds'],
        byWork((one) => perFile(one.cpu_all_s, one)),
      ),
      panel(axis, MEMORY, [
        { name: 'agent, first backup', values: of('first', (one) => mib(one.peak_kib)) },
        { name: 'agent, unchanged', values: of('unchanged', (one) => mib(one.peak_kib)) },
        { name: 'control plane and store', values: of('first', (one) => mib(one.plane_peak_kib)) },
      ]),
      panel(
        axis,
        ['The database after three backups', 'rows'],
        [{ name: 'rows', values: of('changed', (one) => one.rows) }],
      ),
    ],
  })
}

/** The backups that the table shows. */
const SHOWN = [1, 2, 10, 30, 100] as const

const growthOfBackups = async (settings: BenchSettings): Promise<BenchReport> => {
  const files = Math.max(ONE_IN, Math.round(BACKUP_FILES * settings.scale))
  const steps = await withWorld(files, settings, async (world, tree) => {
    const done: Step[] = []
    for (let backup = 1; backup <= BACKUPS; backup += 1) {
      if (backup > 1) changeSome(tree, backup)
      done.push(await step(world, { files, backup, work: backup === 1 ? 'first' : 'changed' }))
      if (backup % 10 === 0) settings.say(`  ${backup} backups`)
    }
    return done
  })
  const axis = { x: 'backup', at: steps.map(({ backup }) => backup), log: false }
  const later = (value: (one: Step) => number): (number | null)[] =>
    steps.map((one) => (one.backup === 1 ? null : value(one)))
  const of = (value: (one: Step) => number): number[] => steps.map(value)
  const rows = steps
    .filter(({ backup }) => SHOWN.some((shown) => shown === backup))
    .map((one) => [String(one.backup), ...rowOf(one)])
  return told({
    name: 'growth-backups',
    says: `cost of ours from backup to backup, 1% of ${formatCount(files)} files changed`,
    settings,
    steps,
    table: tableOf(['backup', ...HEAD], rows, 1),
    panels: [
      panel(
        axis,
        ['Time of a backup after the first', 'seconds'],
        [
          { name: 'wall', values: later((one) => one.wall_s) },
          { name: 'CPU, all parts', values: later((one) => one.cpu_all_s) },
          { name: 'CPU, agent', values: later((one) => one.cpu_s) },
        ],
      ),
      panel(axis, MEMORY, [
        { name: 'agent', values: of((one) => mib(one.peak_kib)) },
        { name: 'control plane and store', values: of((one) => mib(one.plane_peak_kib)) },
      ]),
      panel(axis, ['The database', 'rows'], [{ name: 'rows', values: of((one) => one.rows) }]),
      panel(
        axis,
        ['Stored', 'MiB'],
        [{ name: 'stored', values: of((one) => one.stored_bytes / MiB) }],
      ),
    ],
  })
}

export const GROWTHS: Readonly<Record<string, (settings: BenchSettings) => Promise<BenchReport>>> =
  { files: growthOfFiles, backups: growthOfBackups }
