/** Medians, ratios and the table of a benchmark. */
import Table from 'cli-table3'
import { formatBytes } from '#shared/units.ts'

export type BenchSettings = {
  readonly rounds: number
  readonly tree: readonly string[]
  readonly workIn: string
  /** Beginnings of the names of the peers to run; none: all that are installed. */
  readonly peers: readonly string[]
  readonly say: (line: string) => void
}

export type Work = 'first' | 'unchanged' | 'restore'

/** `cpu_s`: of the agent or of the peer's own program; `cpu_all_s`: of everything that was started for it. */
export type Run = {
  readonly tool: string
  readonly version: string
  readonly work: Work
  readonly wall_s: number
  readonly cpu_s: number
  readonly cpu_all_s: number
  readonly peak_kib: number
  readonly stored_bytes: number
  readonly shares?: Shares
}

/** CPU seconds of one run by who used them: what the control plane in the path costs. */
export type Shares = {
  readonly agent: number
  readonly control_plane: number
  readonly store: number
  readonly database: number
}

export type BenchResult = {
  readonly name: string
  readonly runs: readonly Run[]
  readonly shares: Readonly<Record<string, Shares>>
  readonly ratios: Readonly<Record<string, number | null>>
}

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? high) + high) / 2
}

const round = (value: number): number => Math.round(value * 1000) / 1000

/** One row for each (tool, work): the median of its rounds in every column. */
export const medians = (runs: readonly Run[]): Run[] => {
  const groups = Map.groupBy(runs, (run) => `${run.tool} ${run.work}`)
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined) return []
    const of = (column: (run: Run) => number): number => round(median(group.map(column)))
    return [
      {
        ...first,
        wall_s: of((run) => run.wall_s),
        cpu_s: of((run) => run.cpu_s),
        cpu_all_s: of((run) => run.cpu_all_s),
        peak_kib: of((run) => run.peak_kib),
        stored_bytes: of((run) => run.stored_bytes),
      },
    ]
  })
}

/** Medians of the shares of each work, where they were measured. */
export const mediansOfShares = (runs: readonly Run[]): Record<string, Shares> => {
  const groups = Map.groupBy(runs, (run) => run.work)
  return Object.fromEntries(
    [...groups].flatMap(([work, group]) => {
      const shares = group.flatMap((run) => (run.shares === undefined ? [] : [run.shares]))
      if (shares.length === 0) return []
      const of = (who: keyof Shares): number => round(median(shares.map((share) => share[who])))
      const all: Shares = {
        agent: of('agent'),
        control_plane: of('control_plane'),
        store: of('store'),
        database: of('database'),
      }
      return [[work, all]]
    }),
  )
}

type Column = 'wall_s' | 'cpu_s' | 'stored_bytes'

/** Holdfast / the better of the restic runs; below 1 is better. `null` where one of them did not run. */
export const ratiosAgainstRestic = (rows: readonly Run[]): Record<string, number | null> => {
  const ratio = (work: Work, column: Column): number | null => {
    const ours = rows.find((row) => row.tool === 'holdfast' && row.work === work)
    const theirs = rows.filter((row) => row.tool.startsWith('restic') && row.work === work)
    if (ours === undefined || theirs.length === 0) return null
    return round(ours[column] / Math.min(...theirs.map((row) => row[column])))
  }
  return {
    first_wall: ratio('first', 'wall_s'),
    first_cpu: ratio('first', 'cpu_s'),
    unchanged_wall: ratio('unchanged', 'wall_s'),
    restore_wall: ratio('restore', 'wall_s'),
    stored: ratio('first', 'stored_bytes'),
  }
}

/** The table goes to stderr with `--json`, so that stdout holds the JSON line alone. */
export const print = (result: BenchResult, json: boolean): void => {
  const table = new Table({
    head: ['tool', 'work', 'wall s', 'cpu s', 'all s', 'peak', 'stored'],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right'],
  })
  for (const run of result.runs)
    table.push([
      `${run.tool} ${run.version}`,
      run.work,
      run.wall_s.toFixed(2),
      run.cpu_s.toFixed(2),
      run.cpu_all_s.toFixed(2),
      formatBytes(run.peak_kib * 1024),
      formatBytes(run.stored_bytes),
    ])
  const show = json ? console.error : console.log
  show(table.toString())
  for (const [work, { agent, control_plane, store, database }] of Object.entries(result.shares))
    show(
      `${work.padEnd(16)} CPU s: agent ${agent.toFixed(2)}, control plane ${control_plane.toFixed(2)}, ` +
        `store ${store.toFixed(2)}, database ${database.toFixed(2)}`,
    )
  for (const [name, value] of Object.entries(result.ratios))
    show(
      `${name.padEnd(16)} ${value === null ? 'not measured' : `${value.toFixed(2)} of restic's`}`,
    )
  console.log(JSON.stringify(result))
}
