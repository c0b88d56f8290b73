/** What the log of a run says of its life, for whoever reads it afterwards. Pure. */
import type { LogLevel } from '#shared/api/events.ts'
import { formatBytes, formatCount } from '#shared/units.ts'
import type { Run, RunRef } from './backup-machine.ts'

/** `fields` say which file a line is about, and why. */
export type RunLine = {
  readonly level: LogLevel
  readonly message: string
  readonly fields?: Readonly<Record<string, string>>
}

type Kind = RunRef['kind']
type Counts = Readonly<Record<'files' | 'directories' | 'others' | 'skipped', number>>

export type BackupSum = {
  readonly counts: Counts & { readonly changed: number }
  readonly bytes_source: number
  readonly bytes_new: number
  readonly bytes_stored: number
  /** Of files that could not be backed up; `errors` are the first of them. */
  readonly error_count: number
  readonly errors: readonly {
    readonly path: string
    readonly code: string
    readonly problem: string
  }[]
}

export type RestoreSum = {
  readonly counts: Counts & { readonly failed: number }
  readonly bytes_restored: number
  readonly bytes_fetched: number
}

/** Who wants it: the first line. */
export const askedFor = (
  kind: Kind,
  { name, trigger }: { readonly name: string; readonly trigger: string },
): RunLine => ({
  level: 'info',
  message: `${name} asked for this ${kind}; it waits for its server.`,
  fields: { trigger },
})

const amounts = ({ files, directories, others, skipped }: Counts): string => {
  const more = others > 0 ? `, ${formatCount(others)} others` : ''
  return `${formatCount(files)} files, ${formatCount(directories)} directories${more}, ${formatCount(skipped)} skipped`
}

/** One line for each problem that is known by its path, then the sums. */
export const backupSum = (sum: BackupSum): readonly RunLine[] => {
  const { counts, errors, error_count } = sum
  const unnamed = error_count - errors.length
  const problems = errors.map(({ path, code, problem }): RunLine => ({
    level: 'warn',
    message: `${path}: ${problem}`,
    fields: { path, code },
  }))
  const rest: RunLine = {
    level: 'warn',
    message: `${formatCount(unnamed)} more problems are not listed here; they are in the record of the backup.`,
  }
  const sums: RunLine = {
    level: 'info',
    message: `${amounts(counts)}; ${formatCount(counts.changed)} changed, ${formatCount(error_count)} problems. ${formatBytes(sum.bytes_source)} in the sources, ${formatBytes(sum.bytes_new)} new, ${formatBytes(sum.bytes_stored)} stored.`,
  }
  return [...problems, ...(unnamed > 0 ? [rest] : []), sums]
}

export const restoreSum = (sum: RestoreSum): readonly RunLine[] => [
  {
    level: 'info',
    message: `${amounts(sum.counts)}, ${formatCount(sum.counts.failed)} failed. ${formatBytes(sum.bytes_restored)} restored, ${formatBytes(sum.bytes_fetched)} fetched.`,
  },
]

const info = (message: string): RunLine => ({ level: 'info', message })

type Live = Extract<Run, { at: 'pending' | 'running' }>

const pauses = (before: Live, next: Live): readonly RunLine[] => {
  if (before.paused === null && next.paused !== null) return [info('It is paused.')]
  return before.paused !== null && next.paused === null ? [info('It is resumed.')] : []
}

const atWork = (
  kind: Kind,
  before: Run,
  next: Extract<Run, { at: 'running' }>,
): readonly RunLine[] => {
  if (before.at !== 'running') return [info('Offered to the agent.')]
  const told: RunLine[] = []
  if (!before.accepted && next.accepted) told.push(info('The agent works on it.'))
  else if (!next.accepted && next.epoch > before.epoch)
    told.push(info('Offered to the agent again, over a newer connection.'))
  else if (before.lease === null && next.lease !== null)
    told.push(info('The agent is back, and still works on it.'))
  else if (next.epoch > before.epoch) told.push(info('The agent goes on over a new connection.'))
  if (before.lease !== null && next.lease === null)
    told.push({
      level: 'warn',
      message: `The agent is not heard any more. The ${kind} goes on when it is back.`,
    })
  told.push(...pauses(before, next))
  if (!before.cancelAsked && next.cancelAsked) told.push(info('The agent is asked to stop.'))
  return told
}

/** What became of it: nothing is said where nothing changed that a person would want to know. */
export const linesOf = (kind: Kind, before: Run, next: Run): readonly RunLine[] => {
  switch (next.at) {
    case 'pending':
      return before.at === 'pending' ? pauses(before, next) : []
    case 'running':
      return atWork(kind, before, next)
    case 'completed':
      return [info(`The ${kind} is complete.`)]
    case 'partial':
      return [
        {
          level: 'warn',
          message: `The ${kind} is done, but not all of it: see the problems above.`,
        },
      ]
    case 'failed':
      return [
        { level: 'error', message: next.problem.message, fields: { code: next.problem.code } },
      ]
    case 'canceled':
      return [{ level: 'warn', message: next.problem.message, fields: { code: next.problem.code } }]
  }
}
