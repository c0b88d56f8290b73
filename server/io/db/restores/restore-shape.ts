/** A row of `restores` as the API shows it. */
import type { Selectable } from 'kysely'
import type { Restore, RestoreProgress } from '#shared/api/restores.ts'
import { formatBytes, formatCount } from '#shared/units.ts'
import { showWanted, type Wanted } from '../../../core/selection.ts'
import { countOf, fieldOf, reasonOf } from '../json-fields.ts'
import { isoOrNull } from '../pages.ts'
import type { Schema } from '../schema.ts'
import type { WantedRow } from '../schema-restores.ts'

type Server = Selectable<Schema['servers']>

export type RestoreRow = Selectable<Schema['restores']> & {
  readonly server_name: string
  readonly server_type: Server['type']
  readonly server_host: string | null
  readonly server_port: number | null
  readonly server_user: string | null
  readonly server_status: Server['status']
  readonly server_created_at: Date
  readonly server_last_used_at: Date | null
  /** The first page of what is wanted. */
  readonly wanted: readonly WantedRow[] | null
  readonly request_approved: boolean | null
}

export const wantedIn = (rows: readonly WantedRow[]): readonly Wanted[] =>
  rows.map(({ raw, glob }) => ({ raw: Buffer.from(raw, 'base64url').toString('latin1'), glob }))

export const wantedRows = (wanted: readonly Wanted[]): WantedRow[] =>
  wanted.map(({ raw, glob }) => ({ raw: Buffer.from(raw, 'latin1').toString('base64url'), glob }))

type Counts = NonNullable<Restore['counts']>

const countsIn = (from: unknown): Counts | null =>
  typeof fieldOf(from, 'files') !== 'number'
    ? null
    : {
        files: countOf(from, 'files'),
        directories: countOf(from, 'directories'),
        others: countOf(from, 'others'),
        skipped: countOf(from, 'skipped'),
        failed: countOf(from, 'failed'),
      }

/** The columns that say how far it is. */
type Course = Pick<
  Selectable<Schema['restores']>,
  'status' | 'phase' | 'counts' | 'progress' | 'bytes_restored' | 'bytes_fetched'
>

const countsOf = (row: Course): Counts | null =>
  countsIn(row.counts) ?? countsIn(fieldOf(row.progress, 'counts'))

const PHASES = ['checking', 'restoring', 'finishing'] as const

const phaseOf = ({ status, phase }: Course): Restore['phase'] => {
  if (status === 'pending') return 'waiting'
  if (status !== 'running') return 'done'
  return PHASES.find((name) => name === phase) ?? 'checking'
}

const waiting = (row: RestoreRow): string => {
  if (row.open_request_id !== null && row.request_approved !== true)
    return `It waits for the holder of the key: holdfast keys approve ${row.open_request_id}.`
  return row.server_status === 'online'
    ? `It is about to begin on server "${row.server_name}".`
    : `It waits until the agent of server "${row.server_name}" is connected.`
}

const done = (row: RestoreRow): string => {
  const counts = countsOf(row)
  const restored = `${formatCount(counts?.files ?? 0)} files (${formatBytes(bytesOf(row, 'bytes_restored'))}) restored`
  const skipped = counts?.skipped ?? 0
  const failed = counts?.failed ?? 0
  const rest = [
    ...(skipped > 0 ? [`${formatCount(skipped)} skipped`] : []),
    ...(failed > 0 ? [`${formatCount(failed)} failed`] : []),
  ]
  return `${[restored, ...rest].join(', ')}.`
}

const messageOf = (row: RestoreRow): string => {
  switch (row.status) {
    case 'pending':
      return waiting(row)
    case 'running':
      return row.cancel_requested_at === null
        ? `The agent of server "${row.server_name}" works on it.`
        : `The agent of server "${row.server_name}" is told to stop.`
    case 'completed':
    case 'partial':
      return done(row)
    case 'failed':
    case 'canceled':
      return reasonOf(row.error)?.message ?? ''
  }
}

const bytesOf = (row: Course, name: 'bytes_restored' | 'bytes_fetched'): number =>
  row[name] ?? countOf(row.progress, name)

const actorOf = ({ triggered_by: actor }: RestoreRow): Restore['triggered_by'] => {
  if (actor === null) return { name: 'control plane' }
  return actor.token_id === undefined
    ? { name: actor.name }
    : { name: actor.name, token_id: actor.token_id }
}

const computeOf = (row: RestoreRow): Restore['compute'] => ({
  id: row.server_id,
  type: row.server_type,
  server: {
    id: row.server_id,
    name: row.server_name,
    host: row.server_host,
    port: row.server_port,
    user: row.server_user,
    status: row.server_status,
    created_at: row.server_created_at.toISOString(),
    last_used: isoOrNull(row.server_last_used_at),
  },
})

export const shapeRestoreProgress = (row: Course): RestoreProgress => ({
  status: row.status,
  phase: phaseOf(row),
  counts: countsOf(row),
  files_total: countOf(row.progress, 'files_total'),
  bytes: {
    total: countOf(row.progress, 'bytes_total'),
    restored: bytesOf(row, 'bytes_restored'),
    fetched: bytesOf(row, 'bytes_fetched'),
  },
})

export const shapeRestore = (row: RestoreRow): Restore => ({
  id: row.id,
  org_id: row.org_id,
  job_id: row.job_id,
  backup_id: row.backup_id,
  compute: computeOf(row),
  triggered_by: actorOf(row),
  target_path: row.target === '' ? null : row.target,
  conflict: row.conflict === 'refuse' ? null : row.conflict,
  files: showWanted(wantedIn(row.wanted ?? [])),
  file_count: row.file_count,
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
  started_at: isoOrNull(row.started_at),
  completed_at: isoOrNull(row.completed_at),
  error: reasonOf(row.error),
  ...shapeRestoreProgress(row),
  open_request_id: row.open_request_id,
  safety_backup_id: null,
  requires_restart: false,
  message: messageOf(row),
  monitoring_available: true,
})
