/** Orders → runs: which are taken, which wait, which are refused; and how each ends. */
import { fail, Failure, problemOf } from '#shared/errors.ts'
import { recipientsFingerprint } from '#shared/format/keys.ts'
import type { BackupStart, Orders } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import type { Log } from '#shared/world.ts'
import { createWork, type Work } from '../core/work.ts'
import type { RunLink } from '../ports.ts'

export type ObeyParts = {
  readonly log: Log
  /** The control plane as this run sees it. */
  readonly linkFor: (run: string) => RunLink
  /** Resolves when everything told so far has been sent. */
  readonly drained: () => Promise<void>
  /** Fingerprint that a person confirmed for a vault; null for none. */
  readonly pinned: (vault: string) => string | null
  readonly backup: (order: BackupStart, link: RunLink, stop: AbortSignal) => Promise<void>
}

export type Obey = {
  order(order: Orders['backup.start'] | Orders['backup.cancel']): void
  runs(): readonly { readonly run: string; readonly epoch: number }[]
  epochOf(run: string): number
  leases(leases: Orders['leases']): void
  /** Ends all runs and waits until each has said so. */
  stop(): Promise<void>
}

type Problem = Reports['backup.ended']['problem']

/** What went wrong, in the words of the catalogue. */
export const problemFrom = (error: unknown): Problem => {
  const known =
    error instanceof Failure ? error : fail('INTERNAL_AGENT', { problem: problemOf(error) })
  return { code: known.code, message: known.message.slice(0, 2000), details: { ...known.details } }
}

type State = ObeyParts & {
  readonly work: Work
  /** One run at a time: two would share the memory and the disks that each is measured by. */
  last: Promise<void>
  readonly leaving: Set<Promise<void>>
  stopping: boolean
}

/** A run is listed in heartbeats until its last word is out (PROTOCOL.md, "Runs, epochs, leases"). */
const release = ({ work, leaving, drained }: State, run: string): void => {
  const left = drained().then(() => {
    work.remove(run)
    leaving.delete(left)
  })
  leaving.add(left)
}

const end = ({ log, linkFor }: State, order: BackupStart, error: unknown): void => {
  const code = error instanceof Failure ? error.code : 'INTERNAL_AGENT'
  log.error(
    { run: order.run, code, problem: problemOf(error) },
    'the backup ended without a commit',
  )
  if (code === 'LEASE_LOST') return
  const status = code === 'CANCELED' ? 'canceled' : 'failed'
  linkFor(order.run).tell('backup.ended', { status, problem: problemFrom(error) })
}

const perform = async (state: State, order: BackupStart, stop: AbortSignal): Promise<void> => {
  const { log, linkFor, backup } = state
  try {
    stop.throwIfAborted()
    log.info({ run: order.run, job: order.job_name }, 'the backup begins')
    await backup(order, linkFor(order.run), stop)
    log.info({ run: order.run }, 'the backup is committed')
  } catch (error) {
    end(state, order, stop.aborted ? stop.reason : error)
  } finally {
    release(state, order.run)
  }
}

const refuse = (state: State, order: BackupStart, problem: Error): void => {
  const { log, work, linkFor } = state
  log.error({ run: order.run, problem: problem.message }, 'the backup is refused')
  work.add(order.run, order.epoch)
  linkFor(order.run).tell('backup.refused', { problem: problemFrom(problem) })
  release(state, order.run)
}

const begin = (state: State, order: BackupStart): void => {
  const { work, pinned, linkFor } = state
  if (state.stopping) {
    refuse(state, order, fail('AGENT_STOPPED'))
    return
  }
  const decision = work.decide(order.run, {
    asked: recipientsFingerprint(order.vault.recipients),
    pinned: pinned(order.vault.id),
  })
  if (decision.do === 'refuse') {
    refuse(state, order, decision.problem)
    return
  }
  const stop = work.add(order.run, order.epoch)
  linkFor(order.run).tell('backup.accepted', {})
  if (decision.do === 'start') state.last = state.last.then(async () => perform(state, order, stop))
}

export const createObey = (parts: ObeyParts): Obey => {
  const work = createWork()
  const state: State = {
    ...parts,
    work,
    last: Promise.resolve(),
    leaving: new Set(),
    stopping: false,
  }
  return {
    order: (order) => {
      if (order.type === 'backup.start') begin(state, order)
      else work.stop(order.run, fail('CANCELED'))
    },
    runs: work.runs,
    epochOf: work.epochOf,
    leases: ({ renewed, lost }) => {
      for (const { run, epoch } of renewed) work.renew(run, epoch)
      for (const run of lost) work.stop(run, fail('LEASE_LOST', { run }))
    },
    stop: async () => {
      state.stopping = true
      for (const { run } of work.runs()) work.stop(run, fail('AGENT_STOPPED'))
      await state.last
      await Promise.all(state.leaving)
    },
  }
}
