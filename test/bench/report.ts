/** What a benchmark hands over: lines of at most 80 columns for people, one value for programs, a chart. */
import Table from 'cli-table3'
import { formatBytes, MiB } from '#shared/units.ts'
import type { Panel } from './chart.ts'
import { type Machine, machineLines } from './machine.ts'
import type { Ratios, Run, Shares } from './runs.ts'

export type BenchSettings = {
  readonly rounds: number
  /** Of the sizes that are the benchmark's own; 1: as README.md says. */
  readonly scale: number
  readonly seed: string
  /** What was named behind the benchmark: trees of `files`, parts of `memory`. */
  readonly chosen: readonly string[]
  readonly workIn: string
  /** Beginnings of the names of the peers to run; none: all that are installed. */
  readonly peers: readonly string[]
  /** The program that stands for restic: a name on the PATH, or a path. */
  readonly restic: string
  readonly say: (line: string) => void
}

export type BenchReport = {
  readonly name: string
  readonly lines: readonly string[]
  readonly json: Readonly<Record<string, unknown>>
  readonly chart: {
    readonly title: string
    readonly panels: readonly Panel[]
    readonly footer: readonly string[]
  }
}

export type Compared = {
  readonly name: string
  readonly says: string
  readonly rounds: number
  readonly scale: number
  readonly machine: Machine
  readonly runs: readonly Run[]
  readonly shares: Readonly<Record<string, Shares>>
  readonly ratios: Ratios
}

/** Borders are left out, so that long names find room. */
const NO_BORDERS = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid', 'middle']
    .flatMap((side) => [side, `${side}-mid`, `${side}-left`, `${side}-right`, `mid-${side}`])
    .map((part) => [part, '']),
)

/** The first `left` columns are words; the others are numbers. */
export const tableOf = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
  left: number,
): string[] => {
  const table = new Table({
    head: [...head],
    chars: { ...NO_BORDERS, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: head.map((_, index) => (index < left ? 'left' : 'right')),
  })
  for (const row of rows) table.push([...row])
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
}

const shareLines = (shares: Readonly<Record<string, Shares>>): string[] => {
  const all = Object.entries(shares)
  if (all.length === 0) return []
  const head = ['CPU s of ours', 'agent', 'control plane', 'store', 'database']
  const rows = all.map(([work, { agent, control_plane, store, database }]) => [
    work,
    ...[agent, control_plane, store, database].map((seconds) => seconds.toFixed(2)),
  ])
  return ['', ...tableOf(head, rows, 1)]
}

const COLUMNS = ['wall', 'cpu', 'cpu_all', 'peak', 'stored'] as const

const ratioLines = (ratios: Ratios, works: readonly string[]): string[] => {
  const rows = works.map((work) => [
    work,
    ...COLUMNS.map((column) => {
      const value = ratios[`${work}_${column}`]
      if (value === undefined) return ''
      return value === null ? 'not measured' : value.toFixed(2)
    }),
  ])
  return ['', ...tableOf(["of restic's", 'wall', 'cpu', 'all cpu', 'peak', 'stored'], rows, 1)]
}

const barsOf = (
  { runs }: Compared,
  title: string,
  unit: string,
  of: (run: Run) => number,
): Panel => {
  const works = [...new Set(runs.map((run) => run.work))]
  const tools = [...new Set(runs.map((run) => run.tool))]
  return {
    kind: 'bars',
    title,
    x: 'step',
    y: unit,
    groups: works,
    series: tools.map((tool) => ({
      name: tool,
      values: works.map((work) => {
        const run = runs.find((one) => one.tool === tool && one.work === work)
        return run === undefined ? null : of(run)
      }),
    })),
  }
}

export const compared = (result: Compared): BenchReport => {
  const { name, says, rounds, scale, machine, runs, shares, ratios } = result
  const head = ['tool', 'step', 'wall s', 'cpu s', 'all cpu s', 'peak', 'stored']
  const rows = runs.map((run) => [
    run.tool,
    run.work,
    run.wall_s.toFixed(2),
    run.cpu_s.toFixed(2),
    run.cpu_all_s.toFixed(2),
    // Whoever is faster than the looks at him has no peak.
    run.peak_kib === 0 ? '-' : formatBytes(run.peak_kib * 1024),
    formatBytes(run.stored_bytes),
  ])
  const works = [...new Set(runs.map((run) => run.work))]
  return {
    name,
    lines: [
      ...machineLines(machine),
      `${name}: ${says}; scale ${scale}, median of ${rounds}`,
      '',
      ...tableOf(head, rows, 2),
      ...shareLines(shares),
      ...ratioLines(ratios, works),
    ],
    json: { ...result },
    chart: {
      title: `${name}: ${says}`,
      panels: [
        barsOf(result, 'Time', 'wall seconds', (run) => run.wall_s),
        barsOf(result, 'Work of the processors', 'CPU seconds, all parts', (run) => run.cpu_all_s),
        barsOf(result, 'Peak memory', 'MiB', (run) => run.peak_kib / 1024),
        barsOf(result, 'Stored after the step', 'MiB', (run) => run.stored_bytes / MiB),
      ],
      footer: [`scale ${scale}, median of ${rounds}`, ...machineLines(machine)],
    },
  }
}
