import { BackupFile, BackupFiles, FileParams, FilesQuery } from '#shared/api/files.ts'
import { IdParams, one } from '#shared/api/shapes.ts'
import type { BackupId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Caller } from '../../../core/caller.ts'
import { found } from '../../../flow/found.ts'
import { browseFiles, type Browsing, findFile } from '../../../flow/reading/browse-backup.ts'
import type { CommittedBackup } from '../../../ports/reading.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { within } from '../deadline.ts'

const LIMIT: Ms = 30 * SECOND

export const fileRoutes =
  (browsing: Browsing): Routes =>
  (app: App) => {
    const committed = async (caller: Caller, id: string): Promise<CommittedBackup> =>
      found('backup', id, async (backup: BackupId) => browsing.reading.committed(caller, backup))
    app.get(
      '/v1/backups/:id/files',
      {
        config: {
          scope: 'read',
          problems: ['INVALID_STATE', 'STORAGE_UNAVAILABLE', 'DAMAGED', 'MISSING_OBJECT'],
        },
        schema: {
          summary: 'The entries of a folder of a backup, or those that a search finds',
          params: IdParams,
          querystring: FilesQuery,
          response: { 200: BackupFiles },
        },
      },
      async (request, reply) => {
        const backup = await committed(callerOf(request), request.params.id)
        const { files, limit, next, lost } = await within(reply, LIMIT, async (stop) =>
          browseFiles(browsing, backup, [request.query, stop]),
        )
        return {
          data: [...files],
          meta: { request_id: request.id, limit, next_cursor: next, lost: [...lost] },
        }
      },
    )
    app.get(
      '/v1/backups/:id/files/:file_id',
      {
        config: {
          scope: 'read',
          problems: ['INVALID_STATE', 'STORAGE_UNAVAILABLE', 'DAMAGED', 'MISSING_OBJECT'],
        },
        schema: {
          summary: 'One entry of a backup',
          params: FileParams,
          response: { 200: one(BackupFile) },
        },
      },
      async (request, reply) => {
        const backup = await committed(callerOf(request), request.params.id)
        return {
          data: await within(reply, LIMIT, async (stop) =>
            findFile(browsing, backup, [request.params.file_id, stop]),
          ),
        }
      },
    )
  }
