import { LogQuery } from '#shared/api/events.ts'
import { Restore, RestoreInput, RestoreQuery } from '#shared/api/restores.ts'
import { IdParams, many, one } from '#shared/api/shapes.ts'
import type { RestoreId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import { pageRequest } from '../../../core/page.ts'
import type { CancelParts } from '../../../flow/cancel-run.ts'
import type { Following } from '../../../flow/follow.ts'
import { found, foundId } from '../../../flow/found.ts'
import { cancelRestore } from '../../../flow/restores/cancel-restore.ts'
import { startRestore, type StartRestoreParts } from '../../../flow/restores/start-restore.ts'
import type { Followable, Logs } from '../../../ports/following.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { within } from '../deadline.ts'
import { eventsRoute } from '../events-route.ts'
import { listAnswer } from '../lists.ts'
import { answerLog, logged } from '../logs.ts'

/** With a customer's key the names of what is chosen are read, so that no more packs are opened than hold them. */
const READING: Ms = 30 * SECOND

export type RestoreParts = StartRestoreParts & {
  readonly agents: CancelParts
  readonly following: Following
  readonly followed: { readonly restores: Followable }
  readonly logs: { readonly restores: Logs }
}

const starting =
  (parts: StartRestoreParts): Routes =>
  (app: App) => {
    app.post(
      '/v1/backups/:id/restore',
      {
        config: {
          scope: 'restore',
          problems: [
            'INVALID_STATE',
            'OPERATION_IN_PROGRESS',
            'KEY_REQUIRED',
            'LIMIT_EXCEEDED',
            'STORAGE_UNAVAILABLE',
            'DAMAGED',
            'MISSING_OBJECT',
          ],
        },
        schema: {
          summary: 'Restore files of a backup onto a server',
          params: IdParams,
          body: RestoreInput,
          response: { 201: one(Restore) },
        },
      },
      async (request, reply) => {
        const wanted = { backup: request.params.id, ...request.body }
        const restore = await within(reply, READING, async (stop) =>
          startRestore(parts, [callerOf(request), wanted], stop),
        )
        return reply.code(201).send({ data: restore })
      },
    )
  }

const looking =
  (parts: RestoreParts): Routes =>
  (app: App) => {
    const { restores } = parts
    app.get(
      '/v1/restores',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List restores',
          querystring: RestoreQuery,
          response: { 200: many(Restore) },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const rows = await restores.list(callerOf(request), page, request.query)
        return listAnswer(request, page, rows)
      },
    )
    app.get(
      '/v1/restores/:id',
      {
        config: { scope: 'read' },
        schema: { summary: 'One restore', params: IdParams, response: { 200: one(Restore) } },
      },
      async (request) => ({
        data: await found('restore', request.params.id, async (id: RestoreId) =>
          restores.get(callerOf(request), id),
        ),
      }),
    )
    app.post(
      '/v1/restores/:id/cancel',
      {
        config: { scope: 'restore', problems: ['INVALID_STATE'] },
        schema: { summary: 'Cancel a restore', params: IdParams, response: { 200: one(Restore) } },
      },
      async (request) => ({
        data: await cancelRestore(parts, callerOf(request), request.params.id),
      }),
    )
  }

const following =
  ({ restores, following: all, followed, logs }: RestoreParts): Routes =>
  (app: App) => {
    eventsRoute(app, all, {
      path: '/v1/restores/:id/events',
      resource: 'restore',
      scope: 'read',
      summary: 'Follow a restore: server-sent events until it is over',
      source: followed.restores,
      get: async (caller, id: RestoreId) => restores.get(caller, id),
    })
    app.get(
      '/v1/restores/:id/logs',
      {
        config: { scope: 'read' },
        exposeHeadRoute: false,
        schema: {
          summary:
            'The log of a restore, file by file, newest line first; or all of it as a text file',
          params: IdParams,
          querystring: LogQuery,
          response: logged,
        },
      },
      async (request, reply) => {
        const id = await foundId('restore', request.params.id, async (each: RestoreId) =>
          restores.get(callerOf(request), each),
        )
        const name = `restore-${id}`
        return answerLog(request, reply, { logs: logs.restores, id, name, query: request.query })
      },
    )
  }

export const restoreRoutes =
  (parts: RestoreParts): Routes =>
  async (app: App) => {
    for (const add of [starting(parts), looking(parts), following(parts)]) await add(app)
  }
