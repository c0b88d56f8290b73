/** A backup while it runs, and what it said: the stream of its events, and its log. */
import { LogQuery } from '#shared/api/events.ts'
import { IdParams } from '#shared/api/shapes.ts'
import type { BackupId } from '#shared/ids.ts'
import { foundId } from '../../../flow/found.ts'
import type { Following } from '../../../flow/follow.ts'
import type { Backups } from '../../../ports.ts'
import type { Followable, Logs } from '../../../ports/following.ts'
import type { Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { eventsRoute } from '../events-route.ts'
import { answerLog, logged } from '../logs.ts'

export type BackupEventParts = {
  readonly backups: Backups
  readonly following: Following
  readonly followed: { readonly backups: Followable }
  readonly logs: { readonly backups: Logs }
}

export const backupEventRoutes =
  ({ backups, following, followed, logs }: BackupEventParts): Routes =>
  (app) => {
    eventsRoute(app, following, {
      path: '/v1/backups/:id/events',
      resource: 'backup',
      scope: 'read',
      summary:
        'Follow a backup: server-sent events `progress`, `log` and `status` until it is over',
      source: followed.backups,
      get: async (caller, id: BackupId) => backups.get(caller, id),
    })
    app.get(
      '/v1/backups/:id/logs',
      {
        config: { scope: 'read' },
        exposeHeadRoute: false,
        schema: {
          summary: 'The log of a backup, newest line first; or all of it as a text file',
          params: IdParams,
          querystring: LogQuery,
          response: logged,
        },
      },
      async (request, reply) => {
        const id = await foundId('backup', request.params.id, async (one: BackupId) =>
          backups.get(callerOf(request), one),
        )
        const name = `backup-${id}`
        return answerLog(request, reply, { logs: logs.backups, id, name, query: request.query })
      },
    )
  }
