import { Backup, BackupQuery, Progress } from '#shared/api/backups.ts'
import { IdParams, many, one } from '#shared/api/shapes.ts'
import type { BackupId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import { found } from '../../../flow/found.ts'
import type { Backups } from '../../../ports.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

const SORTABLE = ['created_at', 'name', 'status', 'size_bytes', 'completed_at']

export const backupRoutes =
  (backups: Backups): Routes =>
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
      { config: { scope: 'read' }, schema: { params: IdParams, response: { 200: one(Backup) } } },
      async (request) => ({
        data: await found('backup', request.params.id, async (id: BackupId) =>
          backups.get(callerOf(request), id),
        ),
      }),
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
