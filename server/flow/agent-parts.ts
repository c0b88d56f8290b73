/** What the flows behind the connections of agents work with, and the small words that they share. */
import { fail, Failure, hasCode } from '#shared/errors.ts'
import { type Id, makeId, parseId } from '#shared/ids.ts'
import type { Facts } from '#shared/protocol/hello.ts'
import { DAY, type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Log, Random } from '#shared/world.ts'
import { holds, type Run, type RunRef, type Step } from '../core/backup-machine.ts'
import type {
  AgentLinks,
  Agents,
  Commits,
  Link,
  Objects,
  Stores,
  Vaults,
  Wakeups,
} from '../ports.ts'
import type { OpenRequests } from '../ports/open-requests.ts'
import type { Identities, Reading } from '../ports/reading.ts'
import type { Restores } from '../ports/restores.ts'
import type { RestoreResult, Runs, RunScope, Settled } from '../ports/runs.ts'
import type { SpotChecks } from '../ports/spot-checks.ts'

export type Timing = {
  /** Agents say that they live this often; whole seconds. */
  readonly heartbeat: Ms
  /** A run is the agent's for this long after each heartbeat; whole seconds. */
  readonly lease: Ms
  /** The deadline of a run whose job names none. */
  readonly longestRun: Ms
  /** A run that is paused for longer fails. */
  readonly longestPause: Ms
}

export const DEFAULT_TIMING: Timing = {
  heartbeat: 10 * SECOND,
  lease: 45 * SECOND,
  longestRun: 7 * DAY,
  longestPause: 7 * DAY,
}

export type AgentParts = {
  readonly agents: Agents
  readonly links: AgentLinks
  readonly wakeups: Wakeups
  readonly runs: Runs
  readonly vaults: Vaults
  readonly objects: Objects
  readonly spotChecks: SpotChecks
  readonly commits: Commits
  readonly stores: Stores
  readonly reading: Reading
  readonly identities: Identities
  readonly restores: Restores
  readonly openRequests: OpenRequests
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly timing: Timing
}

export const freshId = <Kind extends string>(
  parts: Pick<AgentParts, 'clock' | 'random'>,
): Id<Kind> => makeId<Kind>(parts.clock.now(), parts.random(10))

/** The problem of an answer. What is unforeseen is `INTERNAL`; its own words stay in the log. */
export const problemFor = (
  error: unknown,
): { code: string; message: string; details: Record<string, unknown> } => {
  const failure = error instanceof Failure ? error : fail('INTERNAL', {}, { cause: error })
  return { code: failure.code, message: failure.message, details: { ...failure.details } }
}

/** Stores what `decide` makes of the run, and tells whoever watches when its status changed. */
export const changeRun = async (
  parts: Pick<AgentParts, 'runs' | 'log'>,
  of: RunRef,
  decide: (run: Run, now: Ms) => Step,
  result?: RestoreResult,
): Promise<Settled | null> => {
  const settled = await parts.runs.change(of, decide, result)
  if (settled !== null && settled.before.at !== settled.run.at) announce(parts, of, settled.run)
  return settled
}

export const announce = (parts: Pick<AgentParts, 'log'>, { kind, id }: RunRef, run: Run): void => {
  const problem = 'problem' in run ? run.problem : null
  parts.log.info(
    { [kind]: id, status: run.at, code: problem?.code },
    `a ${kind} changed its status`,
  )
}

/** Text of an agent as the database can hold it: without NUL and half characters. */
export const storable = (text: string): string => text.toWellFormed().replaceAll('\0', '\ufffd')

/** The known facts, and nothing else that a greeting may carry. */
export const storableFacts = (facts: Facts): Facts => ({
  hostname: storable(facts.hostname),
  os: storable(facts.os),
  kernel: storable(facts.kernel),
  arch: storable(facts.arch),
  cpus: facts.cpus,
  memory_bytes: facts.memory_bytes,
  agent_version: storable(facts.agent_version),
})

type AboutRun = { readonly run: string; readonly epoch: number }

/** The run that a report is about. One of another server is not there: `RESOURCE_NOT_FOUND`. */
export const scopeOf = async (
  parts: Pick<AgentParts, 'runs'>,
  link: Link,
  report: AboutRun,
): Promise<RunScope> => {
  const scope = await parts.runs.scope(parseId<'backup'>(report.run, 'run'), link.server)
  if (scope === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: report.run })
  return scope
}

export const leaseLost = (run: string): Failure => fail('LEASE_LOST', { run })

/** The same, and it is the sender's under this epoch: else `LEASE_LOST`. */
export const heldScope = async (
  parts: Pick<AgentParts, 'runs'>,
  link: Link,
  report: AboutRun,
): Promise<RunScope> => {
  const scope = await scopeOf(parts, link, report)
  if (!holds(scope.run, report.epoch)) throw leaseLost(report.run)
  return scope
}

/** Runs `work` on every item, at most `most` at once; the first failure ends it after those that have begun. */
export const eachOf = async <Item, Result>(
  items: readonly Item[],
  most: number,
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> => {
  const results: Result[] = []
  const places = items.entries()
  const failures: unknown[] = []
  const worker = async (): Promise<void> => {
    for (const [place, item] of places) {
      if (failures.length > 0) return
      try {
        results[place] = await work(item)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, worker))
  if (failures.length > 0) throw failures[0]
  return results
}

export const isRefusal = (error: unknown): boolean =>
  error instanceof Failure &&
  !hasCode(error, 'DATABASE_UNAVAILABLE') &&
  !hasCode(error, 'STORAGE_UNAVAILABLE') &&
  !hasCode(error, 'INTERNAL')
