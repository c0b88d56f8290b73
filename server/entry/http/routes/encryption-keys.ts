import {
  EncryptionKey,
  EncryptionKeyInput,
  EncryptionKeyQuery,
  ExportedKey,
} from '#shared/api/encryption-keys.ts'
import { gone, IdParams, many, one } from '#shared/api/shapes.ts'
import type { KeyId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import { addEncryptionKey } from '../../../flow/add-encryption-key.ts'
import { found, foundId } from '../../../flow/found.ts'
import type { EncryptionKeys } from '../../../ports.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

const collection =
  (keys: EncryptionKeys): Routes =>
  (app: App) => {
    app.get(
      '/v1/encryption-keys',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List encryption keys',
          querystring: EncryptionKeyQuery,
          response: { 200: many(EncryptionKey) },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        return listAnswer(request, page, await keys.list(callerOf(request), page, request.query))
      },
    )
    app.post(
      '/v1/encryption-keys',
      {
        config: { scope: 'admin', of: 'organization', problems: ['CONFLICT'] },
        schema: {
          summary: 'Make a managed key, or name the recipient of one of yours',
          body: EncryptionKeyInput,
          response: { 201: one(EncryptionKey) },
        },
      },
      async (request, reply) =>
        reply
          .code(201)
          .send({ data: await addEncryptionKey(keys, callerOf(request), request.body) }),
    )
  }

const single =
  (keys: EncryptionKeys): Routes =>
  (app: App) => {
    app.get(
      '/v1/encryption-keys/:id',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'One encryption key',
          params: IdParams,
          response: { 200: one(EncryptionKey) },
        },
      },
      async (request) => ({
        data: await found('encryption key', request.params.id, async (id: KeyId) =>
          keys.get(callerOf(request), id),
        ),
      }),
    )
    app.delete(
      '/v1/encryption-keys/:id',
      {
        config: { scope: 'admin', of: 'organization', problems: ['RESOURCE_HAS_DEPENDENCIES'] },
        schema: {
          summary: 'Remove an encryption key that nothing uses',
          params: IdParams,
          response: { 204: gone },
        },
      },
      async (request, reply) => {
        await foundId('encryption key', request.params.id, async (id: KeyId) =>
          (await keys.remove(callerOf(request), id)) ? id : null,
        )
        return reply.code(204).send(null)
      },
    )
    app.post(
      '/v1/encryption-keys/:id/export',
      {
        config: { scope: 'keys', of: 'organization', problems: ['KEY_REQUIRED'] },
        schema: {
          summary: 'The identity of a managed key; every export is audited',
          params: IdParams,
          response: { 200: one(ExportedKey) },
        },
      },
      async (request) => ({
        data: await found('encryption key', request.params.id, async (id: KeyId) =>
          keys.export(callerOf(request), id),
        ),
      }),
    )
  }

export const encryptionKeyRoutes =
  (keys: EncryptionKeys): Routes =>
  async (app: App) => {
    await collection(keys)(app)
    await single(keys)(app)
  }
