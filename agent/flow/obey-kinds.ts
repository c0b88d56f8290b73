/** The kinds of runs: what speaks against one, how it is answered, done, and ended. */
import { fail, Failure, problemOf } from '#shared/errors.ts'
import { recipientsFingerprint } from '#shared/format/keys.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import type { Brake } from '../core/brake.ts'
import { amountsOf, failedIn, newRestoreTally, type RestoreTally } from '../core/restore-tally.ts'
import type { Signals } from '../core/work.ts'
import type { RunLink } from '../ports.ts'
import type { RestoreLink } from '../ports/restore-link.ts'

export type Turn = Signals & {
  /** Resolves when the runs of this kind that came before are over; rejects when this one is to stop. */
  readonly turn: () => Promise<void>
}

export type Kind<S> = {
  readonly word: string
  /** Why this agent does not do it at all. */
  objection(order: S): Error | null
  accept(order: S): void
  refuse(order: S, problem: Error): void
  run(order: S, turn: Turn): Promise<void>
  /** Says that it is over without having come to its end. */
  ended(order: S, error: unknown, gone: AbortSignal): Promise<void>
}

export type BackupParts = {
  /** The control plane as this run sees it. */
  readonly linkFor: (run: string) => RunLink
  /** Fingerprint that a person confirmed for a vault; null for none. */
  readonly pinned: (vault: string) => string | null
  /** Why the local policy does not let this machine be backed up so; null where it does. */
  readonly beyond: (order: BackupStart) => Error | null
  readonly backup: (
    order: BackupStart,
    link: RunLink,
    stop: AbortSignal,
    brake: Brake,
  ) => Promise<void>
}

export type RestoreRun = {
  /** As it was given last: what is signed in it for a while may have been signed anew. */
  readonly order: () => RestoreStart
  readonly link: RestoreLink
  /** Grows as the restore does. */
  readonly tally: RestoreTally
  /** Resolves when no other restore is under way. What only prepares needs not wait. */
  readonly turn: () => Promise<void>
}

export type RestoreParts = {
  readonly restoreLinkFor: (run: string) => RestoreLink
  /** Why this agent does not restore there; null where it does. */
  readonly barred: (order: RestoreStart) => Error | null
  /** Ends when everything that can be restored is. */
  readonly restore: (run: RestoreRun, stop: AbortSignal) => Promise<void>
}

type Problem = Reports['backup.ended']['problem']

/** What went wrong, in the words of the catalogue. */
export const problemFrom = (error: unknown): Problem => {
  const known =
    error instanceof Failure ? error : fail('INTERNAL_AGENT', { problem: problemOf(error) })
  return { code: known.code, message: known.message.slice(0, 2000), details: { ...known.details } }
}

const statusOf = ({ code }: Problem): 'canceled' | 'failed' =>
  code === 'CANCELED' ? 'canceled' : 'failed'

export const backups = ({ linkFor, pinned, beyond, backup }: BackupParts): Kind<BackupStart> => ({
  word: 'backup',
  objection: (order) => {
    const { vault } = order
    const asked = recipientsFingerprint(vault.recipients)
    if (asked !== pinned(vault.id)) return fail('RECIPIENTS_NOT_PINNED', { fingerprint: asked })
    return beyond(order)
  },
  accept: ({ run }) => linkFor(run).tell('backup.accepted', {}),
  refuse: ({ run }, problem) =>
    linkFor(run).tell('backup.refused', { problem: problemFrom(problem) }),
  run: async (order, { stop, brake, turn }) => {
    await turn()
    // It may have waited long behind others, and links may have been turned elsewhere since.
    const late = beyond(order)
    if (late !== null) throw late
    await backup(order, linkFor(order.run), stop, brake)
  },
  ended: async ({ run }, error, gone) => {
    const problem = problemFrom(error)
    await linkFor(run).request('backup.ended', { status: statusOf(problem), problem }, gone)
  },
})

export const restores = (parts: RestoreParts): Kind<RestoreStart> => {
  const { restoreLinkFor: linkFor, barred, restore } = parts
  const tallies = new Map<string, RestoreTally>()
  const orders = new Map<string, RestoreStart>()
  const forget = (run: string): void => {
    tallies.delete(run)
    orders.delete(run)
  }
  return {
    word: 'restore',
    objection: barred,
    accept: (order) => {
      orders.set(order.run, order)
      linkFor(order.run).tell('restore.accepted', {})
    },
    refuse: ({ run }, problem) =>
      linkFor(run).tell('restore.refused', { problem: problemFrom(problem) }),
    run: async (order, { stop, gone, turn }) => {
      const link = linkFor(order.run)
      const tally = newRestoreTally()
      tallies.set(order.run, tally)
      const latest = (): RestoreStart => orders.get(order.run) ?? order
      await restore({ order: latest, link, tally, turn }, stop)
      // Restored is restored: from here on it cannot be canceled any more.
      const status = failedIn(tally.counts) === 0 ? 'completed' : 'partial'
      await link.request('restore.finish', { status, ...amountsOf(tally) }, gone)
      forget(order.run)
    },
    ended: async ({ run }, error, gone) => {
      const problem = problemFrom(error)
      const amounts = amountsOf(tallies.get(run) ?? newRestoreTally())
      forget(run)
      const body = { status: statusOf(problem), problem, ...amounts }
      await linkFor(run).request('restore.ended', body, gone)
    },
  }
}
