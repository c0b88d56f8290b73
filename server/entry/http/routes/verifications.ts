import { IdParams, one } from '#shared/api/shapes.ts'
import { Verification, VerifyInput } from '#shared/api/verifications.ts'
import type { BackupId, VerificationId } from '#shared/ids.ts'
import type { Following } from '../../../flow/follow.ts'
import { found, foundId } from '../../../flow/found.ts'
import {
  startVerification,
  type StartVerificationParts,
} from '../../../flow/verifications/start-verification.ts'
import type { Followable } from '../../../ports/following.ts'
import type { Reading } from '../../../ports/reading.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { createStreams, streamed, StreamHeaders } from '../sse.ts'

export type VerificationRouteParts = {
  readonly reading: Reading
  readonly verifying: StartVerificationParts
  readonly following: Following
  readonly followed: { readonly verifications: Followable }
}

const eventsRoute = (
  app: App,
  { verifying, following, followed }: VerificationRouteParts,
): void => {
  const streams = createStreams(app, following)
  app.get(
    '/v1/verifications/:id/events',
    {
      config: { scope: 'read' },
      exposeHeadRoute: false,
      schema: {
        summary: 'Follow a verification: server-sent events until it is over',
        params: IdParams,
        headers: StreamHeaders,
        response: streamed,
      },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      const id = await foundId('verification', request.params.id, async (known: VerificationId) =>
        verifying.verifications.get(caller, known),
      )
      return streams.answer(request, reply, {
        source: followed.verifications,
        id,
        isVisible: async () => (await verifying.verifications.get(caller, id)) !== null,
      })
    },
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
    eventsRoute(app, parts)
  }
