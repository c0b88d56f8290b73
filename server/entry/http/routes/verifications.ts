import { IdParams, many, one } from '#shared/api/shapes.ts'
import { Verification, VerificationQuery, VerifyInput } from '#shared/api/verifications.ts'
import type { BackupId, StorageId, VerificationId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import type { Following } from '../../../flow/follow.ts'
import { found, foundId } from '../../../flow/found.ts'
import { cancelVerification } from '../../../flow/verifications/cancel-verification.ts'
import {
  startVerification,
  type StartVerificationParts,
} from '../../../flow/verifications/start-verification.ts'
import type { Storages } from '../../../ports.ts'
import type { Followable } from '../../../ports/following.ts'
import type { Reading } from '../../../ports/reading.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { eventsRoute } from '../events-route.ts'
import { listAnswer } from '../lists.ts'

export type VerificationRouteParts = {
  readonly reading: Reading
  readonly storages: Pick<Storages, 'get'>
  readonly verifying: StartVerificationParts
  readonly following: Following
  readonly followed: { readonly verifications: Followable }
}

const listRoute = (app: App, { storages, verifying }: VerificationRouteParts): void => {
  app.get(
    '/v1/storages/:id/verifications',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'List verifications of what lies in a storage, those of its plan too',
        params: IdParams,
        querystring: VerificationQuery,
        response: { 200: many(Verification) },
      },
    },
    async (request) => {
      const caller = callerOf(request)
      const page = pageRequest(request.query)
      const storage = await foundId('storage', request.params.id, async (id: StorageId) =>
        (await storages.get(caller, id)) === null ? null : id,
      )
      const rows = await verifying.verifications.list(caller, page, { ...request.query, storage })
      return listAnswer(request, page, rows)
    },
  )
}

const cancelRoute = (app: App, { verifying }: VerificationRouteParts): void => {
  app.post(
    '/v1/verifications/:id/cancel',
    {
      config: { scope: 'backup', problems: ['INVALID_STATE'] },
      schema: {
        summary: 'Cancel a verification',
        params: IdParams,
        response: { 200: one(Verification) },
      },
    },
    async (request) => ({
      data: await cancelVerification(verifying, callerOf(request), request.params.id),
    }),
  )
}

export const verificationRoutes =
  (parts: VerificationRouteParts): Routes =>
  (app: App) => {
    app.post(
      '/v1/backups/:id/verify',
      {
        config: {
          scope: 'backup',
          problems: ['INVALID_STATE', 'KEY_REQUIRED', 'OPERATION_IN_PROGRESS'],
        },
        schema: {
          summary: 'Read and check everything that restoring a backup would read',
          params: IdParams,
          body: VerifyInput,
          response: { 202: one(Verification) },
        },
      },
      async (request, reply) => {
        const caller = callerOf(request)
        const backup = await found('backup', request.params.id, async (id: BackupId) =>
          parts.reading.committed(caller, id),
        )
        const data = await startVerification(parts.verifying, [caller, backup], request.body)
        return reply.code(202).send({ data })
      },
    )
    app.get(
      '/v1/verifications/:id',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'One verification, with what it found',
          params: IdParams,
          response: { 200: one(Verification) },
        },
      },
      async (request) => ({
        data: await found('verification', request.params.id, async (id: VerificationId) =>
          parts.verifying.verifications.get(callerOf(request), id),
        ),
      }),
    )
    cancelRoute(app, parts)
    listRoute(app, parts)
    eventsRoute(app, parts.following, {
      path: '/v1/verifications/:id/events',
      resource: 'verification',
      scope: 'read',
      summary: 'Follow a verification: server-sent events until it is over',
      source: parts.followed.verifications,
      get: async (caller, id: VerificationId) => parts.verifying.verifications.get(caller, id),
    })
  }
