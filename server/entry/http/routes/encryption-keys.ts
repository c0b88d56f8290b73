import {
  EncryptionKey,
  EncryptionKeyInput,
  EncryptionKeyQuery,
} from '#shared/api/encryption-keys.ts'
import { many, one } from '#shared/api/shapes.ts'
import { pageRequest } from '../../../core/page.ts'
import { addEncryptionKey } from '../../../flow/add-encryption-key.ts'
import type { EncryptionKeys } from '../../../ports.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

const SORTABLE = ['created_at', 'name']

export const encryptionKeyRoutes =
  (keys: EncryptionKeys): Routes =>
  (app: App) => {
    app.get(
      '/v1/encryption-keys',
      {
        config: { scope: 'read' },
        schema: { querystring: EncryptionKeyQuery, response: { 200: many(EncryptionKey) } },
      },
      async (request) => {
        const page = pageRequest(request.query, SORTABLE)
        return listAnswer(request, page, await keys.list(callerOf(request), page, request.query))
      },
    )
    app.post(
      '/v1/encryption-keys',
      {
        config: { scope: 'admin' },
        schema: { body: EncryptionKeyInput, response: { 201: one(EncryptionKey) } },
      },
      async (request, reply) =>
        reply
          .code(201)
          .send({ data: await addEncryptionKey(keys, callerOf(request), request.body) }),
    )
  }
