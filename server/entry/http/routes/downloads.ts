import { Download, DownloadAnswer, DownloadInput } from '#shared/api/downloads.ts'
import { IdParams, one } from '#shared/api/shapes.ts'
import { fail } from '#shared/errors.ts'
import type { BackupId, DownloadId } from '#shared/ids.ts'
import { Type } from '#shared/schema.ts'
import { MINUTE } from '#shared/units.ts'
import { handOutParts, type PartsParts } from '../../../flow/downloads/hand-out-parts.ts'
import { removeDownload, type RemoveParts } from '../../../flow/downloads/remove-downloads.ts'
import {
  awaitDownload,
  type DownloadParts,
  MOST_LINKS,
  showDownload,
  startDownload,
} from '../../../flow/downloads/start-download.ts'
import type { Following } from '../../../flow/follow.ts'
import { found, foundId } from '../../../flow/found.ts'
import type { Backups } from '../../../ports.ts'
import type { Followable } from '../../../ports/following.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { within } from '../deadline.ts'
import { eventsRoute } from '../events-route.ts'

export type DownloadRouteParts = {
  readonly backups: Pick<Backups, 'get'>
  readonly downloading: DownloadParts & PartsParts & RemoveParts
  readonly following: Following
  readonly followed: { readonly downloads: Followable }
}

const askRoute = (app: App, { backups, downloading: parts }: DownloadRouteParts): void => {
  app.post(
    '/v1/backups/:id/download',
    {
      config: {
        scope: 'download',
        problems: [
          'INVALID_STATE',
          'KEY_REQUIRED',
          'LIMIT_EXCEEDED',
          'STORAGE_UNAVAILABLE',
          'DAMAGED',
          'MISSING_OBJECT',
        ],
      },
      schema: {
        summary: 'Make files of a backup ready to be fetched',
        params: IdParams,
        body: DownloadInput,
        response: DownloadAnswer,
      },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      const { body } = request
      const backup = await found('backup', request.params.id, async (id: BackupId) =>
        parts.reading.committed(caller, id),
      )
      const view = await within(reply, MINUTE, async (stop) => {
        if (body.format === 'parts')
          return { parts: await handOutParts(parts, [caller, backup], [body, stop]) }
        const name = (await backups.get(caller, backup.backup))?.name ?? 'backup'
        const id = await startDownload(parts, [caller, backup], [body, name, stop])
        return { id, view: await awaitDownload(parts, [caller, id], stop) }
      })
      if ('parts' in view) return reply.code(200).send({ data: view.parts })
      if (view.view === null)
        throw fail('RESOURCE_NOT_FOUND', { resource: 'download', id: view.id })
      if (view.view.failure !== null) throw view.view.failure
      const data = await showDownload(parts, view.view)
      // Who has only the links can remove what they lead to before its time.
      void reply.header('location', `/v1/downloads/${view.id}`)
      const isSoon = data.status === 'ready' && data.file_count <= MOST_LINKS
      return isSoon ? reply.code(200).send({ data: data.links }) : reply.code(202).send({ data })
    },
  )
}

/** Whoever sees a download can fetch it: so even looking needs its scope. */
const scope = 'download' as const

export const downloadRoutes =
  (all: DownloadRouteParts): Routes =>
  (app: App) => {
    const { downloading: parts } = all
    const { downloads } = parts
    askRoute(app, all)
    eventsRoute(app, all.following, {
      path: '/v1/downloads/:id/events',
      resource: 'download',
      scope,
      summary: 'Follow a download: server-sent events until it is ready',
      source: all.followed.downloads,
      get: async (caller, id: DownloadId) => downloads.get(caller, id),
    })
    app.get(
      '/v1/downloads/:id',
      {
        config: { scope },
        schema: {
          summary: 'One download, with its links when it is ready',
          params: IdParams,
          response: { 200: one(Download) },
        },
      },
      async (request) => {
        const view = await found('download', request.params.id, async (id: DownloadId) =>
          downloads.get(callerOf(request), id),
        )
        return { data: await showDownload(parts, view) }
      },
    )
    app.delete(
      '/v1/downloads/:id',
      {
        config: { scope },
        schema: {
          summary: 'End a download and remove what was prepared for it',
          params: IdParams,
          response: { 204: Type.Null() },
        },
      },
      async (request, reply) => {
        const caller = callerOf(request)
        const id = await foundId('download', request.params.id, async (one: DownloadId) =>
          downloads.get(caller, one),
        )
        const leaving = await downloads.remove(caller, id)
        if (leaving === null)
          throw fail('RESOURCE_NOT_FOUND', { resource: 'download', id: request.params.id })
        await within(reply, MINUTE, async (stop) => removeDownload(parts, leaving, stop))
        return reply.code(204).send(null)
      },
    )
  }
