import { Backup, BackupDetail, BackupQuery, Progress } from '#shared/api/backups.ts'
import { IdParams, many, one } from '#shared/api/shapes.ts'
import { type BackupId, parseId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import { pageRequest } from '../../../core/page.ts'
import { found } from '../../../flow/found.ts'
import { backupDetail, type Details } from '../../../flow/reading/backup-detail.ts'
import type { Backups } from '../../../ports.ts'
import type { CommittedBackup } from '../../../ports/reading.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { within } from '../deadline.ts'
import { listAnswer } from '../lists.ts'

const SORTABLE = ['created_at', 'name', 'status', 'size_bytes', 'completed_at']

/** How long the answer of one backup waits for the names in it. */
const FILES: Ms = 1.5 * SECOND

export const backupRoutes =
  ({ backups, details }: { readonly backups: Backups; readonly details: Details }): Routes =>
  (app: App) => {
    app.get(
      '/v1/backups',
      {
        config: { scope: 'read' },
        schema: { querystring: BackupQuery, response: { 200: many(Backup) } },
      },
      async (request) => {
        const page = pageRequest(request.query, SORTABLE)
        return listAnswer(request, page, await backups.list(callerOf(request), page, request.query))
      },
    )
    app.get(
      '/v1/backups/:id',
      {
        config: { scope: 'read' },
        schema: { params: IdParams, response: { 200: one(BackupDetail) } },
      },
      async (request, reply) => {
        const caller = callerOf(request)
        const backup = await found('backup', request.params.id, async (id: BackupId) =>
          backups.get(caller, id),
        )
        const isCommitted = backup.status === 'completed' || backup.status === 'partial'
        const committed: CommittedBackup | null = isCommitted
          ? await details.reading.committed(caller, parseId(backup.id, 'id'))
          : null
        return {
          data: await within(reply, FILES, async (stop) =>
            backupDetail(details, [backup, committed], stop),
          ),
        }
      },
    )
    app.get(
      '/v1/backups/:id/progress',
      {
        config: { scope: 'read' },
        schema: { params: IdParams, response: { 200: one(Progress) } },
      },
      async (request) => ({
        data: await found('backup', request.params.id, async (id: BackupId) =>
          backups.progress(callerOf(request), id),
        ),
      }),
    )
  }
