/** What turns a record into a backup. FORMAT.md, "Commit, and deleting without reading"; PROTOCOL.md, "commit.finish". */
import { fail, hasCode, problemOf } from '#shared/errors.ts'
import { parseHeader } from '#shared/format/age.ts'
import { KiB } from '#shared/units.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import { backupRun, type Run, step, type Step } from '../core/backup-machine.ts'
import { isPage, joinPages, planIntervals, referenced, type Staged } from '../core/commit.ts'
import type { CommitOutcome, GrantedObject, Link, PendingCommit, VaultStore } from '../ports.ts'
import type { RunScope } from '../ports/runs.ts'
import {
  type AgentParts,
  announce,
  eachOf,
  freshId,
  heldScope,
  isRefusal,
  leaseLost,
  scopeOf,
  storable,
} from './agent-parts.ts'
import { lookAt } from './confirm-objects.ts'
import { dropRecords } from './drop-records.ts'
import { spotCheck } from './spot-check.ts'

/** HEADs at once: a first backup of 1 TiB has 65,000 packs to look at. */
const LOOKS_AT_ONCE = 32
/** Recipients are at most sixteen, and a stanza is some 120 bytes. */
const LONGEST_HEADER = 8 * KiB

export const stagePage = async (
  parts: AgentParts,
  link: Link,
  report: Reports['commit.page'],
): Promise<Order> => {
  const scope = await heldScope(parts, link, report)
  const { page, of, kind, packs } = report
  if (!isPage({ page, of, kind, packs }))
    throw fail('PROTOCOL_VIOLATION', { problem: `there is no page ${page} of ${of}` })
  if (!(await parts.commits.stage(scope.backup, report.epoch, { page, of, kind, packs })))
    throw leaseLost(report.run)
  return { type: 'commit.taken', id: freshId(parts), re: report.id, run: report.run }
}

type Ready = {
  readonly scope: RunScope
  readonly pending: PendingCommit
  readonly staged: Staged
  readonly record: GrantedObject
  readonly store: VaultStore
}

/** Objects that are not there, or not as they were confirmed, are *lost*: no later run may count on them. */
const lookAtPacks = async (parts: AgentParts, ready: Ready, stop: AbortSignal): Promise<void> => {
  const { scope, staged, store } = ready
  const objects = await parts.commits.added(scope.backup, referenced(staged))
  const gone: number[] = []
  await eachOf(objects, LOOKS_AT_ONCE, async (object) => {
    try {
      await lookAt({ store, clock: parts.clock, stop }, [object, object.etag ?? ''])
    } catch (error) {
      if (!hasCode(error, 'UPLOAD_FAILED')) throw error
      parts.log.error({ backup: scope.backup, problem: problemOf(error) }, 'an object is lost')
      gone.push(object.no)
    }
  })
  if (scope.vault === null) return
  if (gone.length > 0) await parts.objects.lost(scope.vault, gone)
  const { vault, job, storage } = scope
  // What this backup takes over from the one before is too much to be looked at one by one.
  const missing = await spotCheck(parts, { vault, job, storage }, stop)
  // Its next run writes them again.
  if (missing.own) throw fail('MISSING_OBJECT', { key: `vaults/${vault}/keys` })
}

const commit = async (
  parts: AgentParts,
  ready: Ready,
  stop: AbortSignal,
): Promise<CommitOutcome> => {
  const { scope, pending, staged, record } = ready
  await lookAt({ store: ready.store, clock: parts.clock, stop }, [record, record.etag ?? ''])
  await lookAtPacks(parts, ready, stop)
  const made: Run[] = []
  const decide = (run: Run): Step => {
    const status = pending.finish.error_count > 0 ? 'partial' : 'completed'
    const [next, verdict] = step(run, { kind: 'finished', epoch: scope.run.epoch, status })
    if (verdict === 'changed') made.push(next)
    return [next, verdict]
  }
  const { finish } = pending
  const how = { finish, record: record.key, decide, plan: planIntervals }
  const outcome = await parts.commits.commit(scope.backup, staged, how)
  if (outcome.done === 'committed')
    for (const run of made) announce(parts, backupRun(scope.backup), run)
  if (outcome.done === 'missing') {
    await parts.commits.discard(scope.backup)
    await dropRecords(parts, scope, stop)
  }
  return outcome
}

const readyOf = async (parts: AgentParts, scope: RunScope): Promise<Ready | string> => {
  const pending = await parts.commits.pending(scope.backup)
  if (!pending.vaultOpened) return 'the vault is not open'
  const staged = joinPages(pending.pages)
  if (staged === null) return 'the pages of the commit are not all there'
  const { record } = pending
  if (record === null) return 'there is no record'
  return { scope, pending, staged, record, store: await parts.stores.open(scope.storage) }
}

const answer = (
  parts: AgentParts,
  report: Reports['commit.finish'],
  outcome: CommitOutcome,
): Order => {
  const head = { id: freshId(parts), re: report.id, run: report.run }
  switch (outcome.done) {
    case 'committed':
      return {
        type: 'commit.done',
        ...head,
        sequence: outcome.sequence,
        gc_epoch: outcome.gcEpoch,
      }
    case 'missing':
      return { type: 'commit.missing', ...head, packs: outcome.packs.slice(0, 10_000) }
    case 'lost':
      throw leaseLost(report.run)
  }
}

const attempt = async (
  parts: AgentParts,
  [link, report]: readonly [Link, Reports['commit.finish']],
  stop: AbortSignal,
): Promise<CommitOutcome> => {
  const scope = await heldScope(parts, link, report)
  const { counts, bytes_source, bytes_new, bytes_stored, error_count } = report
  const errors = report.errors.map(({ path, code, problem }) => ({
    path: storable(path),
    code: storable(code),
    problem: storable(problem),
  }))
  const finish = { counts, bytes_source, bytes_new, bytes_stored, error_count, errors }
  if (!(await parts.commits.finishing(scope.backup, report.epoch, finish)))
    throw leaseLost(report.run)
  const ready = await readyOf(parts, scope)
  if (typeof ready === 'string') throw fail('PROTOCOL_VIOLATION', { problem: ready })
  if (ready.pending.sequence !== report.sequence)
    throw fail('PROTOCOL_VIOLATION', { problem: `the sequence is ${ready.pending.sequence}` })
  if (ready.record.etag === null)
    throw fail('PROTOCOL_VIOLATION', { problem: 'the record is not reported as stored' })
  return commit(parts, ready, stop)
}

/** A committed run gives its answer again, under whatever epoch it is asked, also to one who asked while it was done. */
export const finishCommit = async (
  parts: AgentParts,
  [link, report]: readonly [Link, Reports['commit.finish']],
  stop: AbortSignal,
): Promise<Order> => {
  const { backup } = await scopeOf(parts, link, report)
  const before = await parts.commits.outcome(backup)
  if (before !== null) return answer(parts, report, before)
  try {
    return answer(parts, report, await attempt(parts, [link, report], stop))
  } catch (error) {
    const after = await parts.commits.outcome(backup)
    if (after === null) throw error
    return answer(parts, report, after)
  }
}

/** The record as the store has it, where its report never came: its header is read from it. */
const confirmRecord = async (
  parts: AgentParts,
  { scope, record, store }: Ready,
  stop: AbortSignal,
): Promise<boolean> => {
  if (record.etag !== null) return true
  const found = await store.head(record.key, stop)
  if (found?.size !== record.size) return false
  const start = await store.get(
    record.key,
    { start: 0, end: Math.min(LONGEST_HEADER, record.size) },
    stop,
  )
  if (start === null) return false
  const header = start.subarray(0, parseHeader(start).headerLength + 16)
  const note = { object: record, etag: found.etag, header }
  return parts.objects.store(scope.backup, scope.run.epoch, [note])
}

const complete = async (
  parts: AgentParts,
  scope: RunScope,
  stop: AbortSignal,
): Promise<boolean> => {
  const ready = await readyOf(parts, scope)
  if (typeof ready === 'string' || !(await confirmRecord(parts, ready, stop))) return false
  const outcome = await commit(parts, ready, stop)
  parts.log.info({ backup: scope.backup, outcome: outcome.done }, 'finished an abandoned commit')
  return outcome.done === 'committed'
}

/**
 * A commit that nobody will finish any more: done here when its pages are complete and its record is in the store
 * (FORMAT.md, "Commit, and deleting without reading"). `false`: there is nothing that can be finished. Throws only where
 * trying again later may help.
 */
export const completeAbandoned = async (
  parts: AgentParts,
  scope: RunScope,
  stop: AbortSignal,
): Promise<boolean> => {
  const { run } = scope
  const isHeld = run.at !== 'running' || run.cancelAsked || run.paused !== null
  if (scope.vault === null || isHeld) return false
  try {
    return await complete(parts, scope, stop)
  } catch (error) {
    if (!isRefusal(error)) throw error
    const problem = problemOf(error)
    parts.log.warn({ backup: scope.backup, problem }, 'an abandoned commit cannot be finished')
    return false
  }
}
