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
  linkFor(run: string): RunLink
  /** Resolves when everything told so far has been sent. */
  drained(): Promise<void>
  /** Fingerprint that a person confirmed for a vault; null for none. */
  pinned(vault: string): string | null
  backup(order: BackupStart, link: RunLink, stop: AbortSignal): Promise<void>
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

export const createObey = (parts: ObeyParts): Obey => {
  const { log } = parts
  const work: Work = createWork()
  /** One run at a time: two would share the memory and the disks that each is measured by. */
  let last: Promise<void> = Promise.resolve()
  const leaving = new Set<Promise<void>>()

  const end = (order: BackupStart, error: unknown): void => {
    const code = error instanceof Failure ? error.code : 'INTERNAL_AGENT'
    log.error(
      { run: order.run, code, problem: problemOf(error) },
      'the backup ended without a commit',
    )
    if (code === 'LEASE_LOST') return
    const status = code === 'CANCELED' ? 'canceled' : 'failed'
    parts.linkFor(order.run).tell('backup.ended', { status, problem: problemFrom(error) })
  }
  /** A run is listed in heartbeats until its last word is out (PROTOCOL.md, "Runs, epochs, leases"). */
  const release = (run: string): void => {
    const left = parts.drained().then(() => {
      work.remove(run)
      leaving.delete(left)
    })
    leaving.add(left)
  }
  const perform = async (order: BackupStart, stop: AbortSignal): Promise<void> => {
    try {
      stop.throwIfAborted()
      log.info({ run: order.run, job: order.job_name }, 'the backup begins')
      await parts.backup(order, parts.linkFor(order.run), stop)
      log.info({ run: order.run }, 'the backup is committed')
    } catch (error) {
      end(order, stop.aborted ? stop.reason : error)
    } finally {
      release(order.run)
    }
  }
  const refuse = (order: BackupStart, problem: Error): void => {
    log.error({ run: order.run, problem: problem.message }, 'the backup is refused')
    work.add(order.run, order.epoch)
    parts.linkFor(order.run).tell('backup.refused', { problem: problemFrom(problem) })
    release(order.run)
  }
  const begin = (order: BackupStart): void => {
    const decision = work.decide(order.run, {
      asked: recipientsFingerprint(order.vault.recipients),
      pinned: parts.pinned(order.vault.id),
    })
    if (decision.do === 'refuse') {
      refuse(order, decision.problem)
      return
    }
    const stop = work.add(order.run, order.epoch)
    parts.linkFor(order.run).tell('backup.accepted', {})
    if (decision.do === 'start') last = last.then(async () => await perform(order, stop))
  }
  return {
    order: (order) => {
      if (order.type === 'backup.start') begin(order)
      else work.stop(order.run, fail('CANCELED'))
    },
    runs: work.runs,
    epochOf: work.epochOf,
    leases: ({ renewed, lost }) => {
      for (const { run, epoch } of renewed) work.renew(run, epoch)
      for (const run of lost) work.stop(run, fail('LEASE_LOST', { run }))
    },
    stop: async () => {
      for (const { run } of work.runs()) work.stop(run, fail('AGENT_STOPPED'))
      await last
      await Promise.all(leaving)
    },
  }
}
