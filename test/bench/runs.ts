/** Runs of a workload, their medians, and what they are against restic's. */

export type Work = 'first' | 'unchanged' | 'changed' | 'restore'

/** `cpu_s`: of the agent or of the peer's own program; `cpu_all_s`: of everything that was started for it. */
export type Run = {
  readonly tool: string
  readonly version: string
  readonly work: Work
  readonly wall_s: number
  readonly cpu_s: number
  readonly cpu_all_s: number
  readonly peak_kib: number
  /** All bytes that lie in the store after this step. */
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

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? high) + high) / 2
}

/** To the thousandth: what is measured is never finer. */
export const rounded = (value: number): number => Math.round(value * 1000) / 1000

/** One row for each (tool, work): the median of its rounds in every column. */
export const medians = (runs: readonly Run[]): Run[] => {
  const groups = Map.groupBy(runs, (run) => `${run.tool} ${run.work}`)
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined) return []
    const of = (column: (run: Run) => number): number => rounded(median(group.map(column)))
    const { tool, version, work } = first
    return [
      {
        tool,
        version,
        work,
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
      const of = (who: keyof Shares): number => rounded(median(shares.map((share) => share[who])))
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

const COLUMNS = {
  wall: 'wall_s',
  cpu: 'cpu_s',
  cpu_all: 'cpu_all_s',
  peak: 'peak_kib',
  stored: 'stored_bytes',
} as const

export type Ratios = Readonly<Record<string, number | null>>

const against = (rows: readonly Run[], work: Work, column: keyof typeof COLUMNS): number | null => {
  const of = (row: Run): number => row[COLUMNS[column]]
  const ours = rows.find((row) => row.tool === 'holdfast' && row.work === work)
  const theirs = rows.filter((row) => row.tool.startsWith('restic') && row.work === work)
  const best = Math.min(...theirs.map(of))
  return ours === undefined || theirs.length === 0 || best === 0 ? null : rounded(of(ours) / best)
}

/**
 * Holdfast / the better of the restic runs, each column by itself; below 1 is better. `null` where one of them did not
 * run.
 */
export const ratiosAgainstRestic = (rows: readonly Run[]): Ratios => {
  const works = [...new Set(rows.map((row) => row.work))]
  return Object.fromEntries(
    works.flatMap((work) =>
      (['wall', 'cpu', 'cpu_all', 'peak', 'stored'] as const)
        .filter((column) => column !== 'stored' || work !== 'restore')
        .map((column) => [`${work}_${column}`, against(rows, work, column)]),
    ),
  )
}
