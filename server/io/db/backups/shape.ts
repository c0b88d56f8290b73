/** A row of `backups` as the API shows it. What runs write as JSON is read tolerantly: a missing number is 0. */
import type { Selectable } from 'kysely'
import type { Backup, Progress } from '#shared/api/backups.ts'
import { showDuration } from '#shared/api/durations.ts'
import type { LastVerified } from '#shared/api/findings.ts'
import type { VerificationLevel } from '#shared/api/verifications.ts'
import { SECOND } from '#shared/units.ts'
import { vaultPrefix, withPrefix } from '#shared/format/layout.ts'
import { countOf, fieldOf, reasonOf, textOf } from '../json-fields.ts'
import { isoOrNull } from '../pages.ts'
import type { JsonObject, Schema } from '../schema.ts'
import { summaryIn } from '../verifications/verification-shape.ts'

type Table<Name extends keyof Schema> = Selectable<Schema[Name]>

export type BackupRow = Table<'backups'> & {
  readonly job_name: string
  readonly key_id: Table<'encryption_keys'>['id']
  readonly key_type: Table<'encryption_keys'>['type']
  readonly key_recipient: string
  readonly storage_prefix: string
  /** Restores of it that are not over. */
  readonly open_restores: readonly string[]
  /** The newest of all, as JSON. */
  readonly restores: readonly JsonObject[]
}

type Counts = NonNullable<Backup['counts']>

const countsOf = (from: unknown): Counts | null =>
  typeof fieldOf(from, 'files') !== 'number'
    ? null
    : {
        files: countOf(from, 'files'),
        directories: countOf(from, 'directories'),
        others: countOf(from, 'others'),
        changed: countOf(from, 'changed'),
        unchanged: countOf(from, 'unchanged'),
        skipped: countOf(from, 'skipped'),
        errors: countOf(from, 'errors'),
      }

const OPERATION = {
  pending: 'in_progress',
  running: 'in_progress',
  completed: 'completed',
  partial: 'partial',
  failed: 'failed',
  canceled: 'failed',
} as const

const actorOf = (actor: unknown): Backup['triggered_by'] => {
  const name = textOf(actor, 'name')
  if (name === '') return { name: 'control plane' }
  const token_id = textOf(actor, 'token_id')
  return token_id === '' ? { name } : { name, token_id }
}

type Operation = Backup['operations'][number]

const isStatus = (text: string): text is keyof typeof OPERATION => Object.hasOwn(OPERATION, text)

/** PostgreSQL writes times in JSON with an offset. */
const timeIn = (row: JsonObject, name: string): string | null => {
  const text = textOf(row, name)
  return text === '' ? null : new Date(text).toISOString()
}

const restoreOf = (row: JsonObject): Operation => {
  const status = textOf(row, 'status')
  return {
    type: 'restore',
    status: isStatus(status) ? OPERATION[status] : 'in_progress',
    started_at: timeIn(row, 'started_at'),
    completed_at: timeIn(row, 'completed_at'),
    error: reasonOf(row['error']),
    triggered_by: actorOf(row['triggered_by']),
  }
}

const tagsOf = (tags: readonly string[]): Backup['tags'] => ({
  manual: tags.includes('manual'),
  hourly: tags.includes('hourly'),
  daily: tags.includes('daily'),
  weekly: tags.includes('weekly'),
  monthly: tags.includes('monthly'),
  yearly: tags.includes('yearly'),
})

const spanOf = (seconds: number | null): string | null =>
  seconds === null ? null : showDuration(seconds * SECOND)

const lastOf = (last: JsonObject, level: VerificationLevel): LastVerified[VerificationLevel] => {
  const one = fieldOf(last, level)
  const summary = summaryIn(one)
  if (summary === null) return null
  const at = new Date(textOf(one, 'at')).toISOString()
  return { ...summary, at, verification_id: textOf(one, 'verification_id') }
}

const lastVerifiedIn = (last: JsonObject): LastVerified => ({
  objects: lastOf(last, 'objects'),
  sample: lastOf(last, 'sample'),
  full: lastOf(last, 'full'),
  restore: lastOf(last, 'restore'),
})

const timesOf = (
  row: BackupRow,
): Pick<Backup, 'created_at' | 'updated_at' | 'started_at' | 'completed_at' | 'paused_at'> => ({
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
  started_at: isoOrNull(row.started_at),
  completed_at: isoOrNull(row.completed_at),
  paused_at: isoOrNull(row.paused_at),
})

export const shapeBackup = (row: BackupRow): Backup => ({
  id: row.id,
  org_id: row.org_id,
  job_id: row.job_id,
  job_name: row.job_name,
  job_version: row.job_version,
  server_id: row.server_id,
  vault_id: row.vault_id,
  sequence: row.sequence,
  name: row.name,
  description: row.description === '' ? null : row.description,
  status: row.status,
  trigger: row.trigger,
  triggered_by: actorOf(row.triggered_by),
  external_id: row.external_id,
  label: row.label,
  tags: tagsOf(row.tags),
  s3_directory:
    row.vault_id === null ? null : withPrefix(row.storage_prefix, vaultPrefix(row.vault_id)),
  ...timesOf(row),
  error: reasonOf(row.error),
  attempt: row.attempt,
  retry_count: row.retry_count,
  pinned: row.pinned,
  pin_label: row.pin_label,
  ttl: spanOf(row.ttl_seconds),
  inactivity_timeout: spanOf(row.inactivity_timeout_seconds),
  expires_at: isoOrNull(row.expires_at),
  last_used_at: isoOrNull(row.last_used_at),
  counts: countsOf(row.counts),
  error_count: row.error_count,
  errors: row.errors.map((error) => ({
    path: textOf(error, 'path'),
    code: textOf(error, 'code'),
    problem: textOf(error, 'problem'),
  })),
  bytes: {
    source: row.bytes_source ?? 0,
    new: row.bytes_new ?? 0,
    stored: row.bytes_stored ?? 0,
  },
  encryption_key: { id: row.key_id, type: row.key_type, recipient: row.key_recipient },
  operations: [
    {
      type: 'create',
      status: OPERATION[row.status],
      started_at: isoOrNull(row.started_at),
      completed_at: isoOrNull(row.completed_at),
      error: reasonOf(row.error),
      triggered_by: actorOf(row.triggered_by),
    },
    ...row.restores.map(restoreOf),
  ],
  dependents: row.open_restores.map((id) => ({ type: 'restore' as const, id })),
  last_verified: lastVerifiedIn(row.last_verified),
  monitoring_available: true,
})

const PHASES = ['scanning', 'uploading', 'committing'] as const
type Phase = Progress['phase']
type Run = Table<'backups'>

const isOver = (row: Run): boolean => row.status !== 'pending' && row.status !== 'running'

const phaseOf = (row: Run): Phase => {
  if (isOver(row)) return 'done'
  return (
    PHASES.find((phase) => phase === row.phase) ??
    (row.status === 'pending' ? 'waiting' : 'scanning')
  )
}

const stepsOf = (row: Run, phase: Phase): Progress['steps'] => {
  const good = row.status === 'completed' || row.status === 'partial'
  const reached = PHASES.findIndex((name) => name === (isOver(row) ? row.phase : phase))
  return PHASES.map((name, at) => {
    const here = isOver(row) ? 'failed' : 'in_progress'
    const later = at > reached ? 'pending' : here
    return {
      name,
      type: 'phase' as const,
      status: good || at < reached ? 'completed' : later,
      row_count: null,
    }
  })
}

type Outlook = Pick<Progress, 'eta_seconds' | 'share' | 'rate' | 'ends'>

const AT_THE_END: Outlook = { eta_seconds: 0, share: 1, rate: null, ends: null }

const numberIn = (from: unknown, name: string): number | null => {
  const value = fieldOf(from, name)
  return typeof value === 'number' ? value : null
}

/** Nothing is known of the end of a run that is paused, or whose agent is away, or that should have ended by now. */
const outlookOf = (row: Run, now: Date): Outlook => {
  const said = fieldOf(row.progress, 'estimate')
  const share = numberIn(said, 'share')
  const isMoving = row.status === 'running' && row.paused_at === null && row.lease_until !== null
  if (!isMoving) return { eta_seconds: null, share, rate: null, ends: null }
  const rate = numberIn(said, 'rate')
  const times = fieldOf(said, 'ends')
  const [earliest, latest] = Array.isArray(times) ? times.map(Number) : []
  if (earliest === undefined || latest === undefined || !(latest > now.getTime()))
    return { eta_seconds: null, share, rate, ends: null }
  return {
    eta_seconds: Math.ceil((latest - now.getTime()) / SECOND),
    share,
    rate,
    ends: {
      earliest: new Date(Math.max(earliest, now.getTime())).toISOString(),
      latest: new Date(latest).toISOString(),
      revisions: countOf(said, 'revisions'),
    },
  }
}

/** `now` decides how long it has run so far; the bytes still to come are not known before the scan is over. */
export const shapeProgress = (row: Run, now: Date): Progress => {
  const phase = phaseOf(row)
  const steps = stepsOf(row, phase)
  const end = row.completed_at ?? now
  const elapsed =
    row.started_at === null ? 0 : Math.max(0, end.getTime() - row.started_at.getTime()) / 1000
  const over = isOver(row)
  const live = (name: string, stored: number | null): number =>
    stored ?? countOf(row.progress, name)
  return {
    status: row.status,
    paused_at: isoOrNull(row.paused_at),
    phase,
    steps,
    completed_steps: steps.filter((step) => step.status === 'completed').length,
    total_steps: steps.length,
    elapsed_seconds: elapsed,
    ...(over ? AT_THE_END : outlookOf(row, now)),
    ...(over ? { duration_seconds: elapsed } : {}),
    counts: countsOf(row.counts) ?? countsOf(fieldOf(row.progress, 'counts')),
    bytes: {
      source: live('bytes_source', row.bytes_source),
      read: countOf(row.progress, 'bytes_read'),
      new: live('bytes_new', row.bytes_new),
      stored: live('bytes_stored', row.bytes_stored),
    },
  }
}
