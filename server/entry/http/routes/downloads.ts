import { DownloadAnswer, DownloadInput } from '#shared/api/downloads.ts'
import { IdParams } from '#shared/api/shapes.ts'
import { fail } from '#shared/errors.ts'
import type { BackupId } from '#shared/ids.ts'
import { MINUTE } from '#shared/units.ts'
import { handOutParts, type PartsParts } from '../../../flow/downloads/hand-out-parts.ts'
import { found } from '../../../flow/found.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { within } from '../deadline.ts'

export const downloadRoutes =
  (parts: PartsParts): Routes =>
  (app: App) => {
    app.post(
      '/v1/backups/:id/download',
      {
        config: { scope: 'download' },
        schema: { params: IdParams, body: DownloadInput, response: DownloadAnswer },
      },
      async (request, reply) => {
        const caller = callerOf(request)
        const backup = await found('backup', request.params.id, async (id: BackupId) =>
          parts.reading.committed(caller, id),
        )
        if (request.body.format !== 'parts')
          throw fail('VALIDATION_FAILED', { field: 'format', problem: 'must be "parts"' })
        const data = await within(reply, MINUTE, async (stop) =>
          handOutParts(parts, [caller, backup], [request.body, stop]),
        )
        return reply.code(200).send({ data })
      },
    )
  }
