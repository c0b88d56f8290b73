/** A row of `downloads` as the API shows it, but for the links. */
import type { Selectable } from 'kysely'
import type { Download, DownloadStatus } from '#shared/api/downloads.ts'
import { showWanted } from '../../../core/selection.ts'
import type { DownloadView, PreparedObject } from '../../../ports/downloads.ts'
import { countOf, fieldOf, reasonOf } from '../json-fields.ts'
import { isoOrNull } from '../pages.ts'
import { wantedIn } from '../restores/restore-shape.ts'
import type { Schema } from '../schema.ts'
import { failureIn } from '../tasks/failure.ts'

export type DownloadRow = Selectable<Schema['downloads']> & {
  readonly now_is: DownloadStatus
  /** Until its time is over. */
  readonly seconds: number
}

export type ObjectRow = Pick<
  Selectable<Schema['download_objects']>,
  'object_key' | 'no' | 'name' | 'path' | 'size'
>

export const preparedIn = (row: ObjectRow): PreparedObject => ({
  no: row.no,
  key: row.object_key,
  name: row.name,
  path: row.path === null ? null : Buffer.from(row.path).toString('latin1'),
  size: row.size ?? 0,
})

export const progressIn = (progress: unknown): Download['progress'] => ({
  bytes_total:
    typeof fieldOf(progress, 'bytes_total') === 'number' ? countOf(progress, 'bytes_total') : null,
  bytes_done: countOf(progress, 'bytes_done'),
  files_done: countOf(progress, 'files_done'),
})

export const viewOf = (row: DownloadRow, objects: readonly ObjectRow[]): DownloadView => ({
  storage: row.storage_id,
  objects: objects.map(preparedIn),
  failure: row.status === 'failed' ? failureIn(row.error) : null,
  seconds: row.now_is === 'ready' ? Math.max(0, Math.floor(row.seconds)) : 0,
  download: {
    id: row.id,
    org_id: row.org_id,
    backup_id: row.backup_id,
    name: row.name,
    format: 'object',
    status: row.now_is,
    wanted: showWanted(wantedIn(row.wanted)),
    open_request_id: row.open_request_id,
    progress: progressIn(row.progress),
    // Of an attempt that failed there is another one.
    error: row.status === 'pending' ? null : reasonOf(row.error),
    expires_in: row.expires_in,
    created_at: row.created_at.toISOString(),
    started_at: isoOrNull(row.started_at),
    ready_at: isoOrNull(row.ready_at),
    expires_at: isoOrNull(row.expires_at),
  },
})
