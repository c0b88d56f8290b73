import { many, one } from '#shared/api/shapes.ts'
import { Storage, StorageInput, StorageQuery } from '#shared/api/storages.ts'
import { pageRequest } from '../../../core/page.ts'
import { addStorage } from '../../../flow/add-storage.ts'
import type { Storages } from '../../../ports.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

const SORTABLE = ['created_at', 'name']

export const storageRoutes =
  (storages: Storages): Routes =>
  (app: App) => {
    app.get(
      '/v1/storages',
      {
        config: { scope: 'read' },
        schema: { querystring: StorageQuery, response: { 200: many(Storage) } },
      },
      async (request) => {
        const page = pageRequest(request.query, SORTABLE)
        return listAnswer(
          request,
          page,
          await storages.list(callerOf(request), page, request.query),
        )
      },
    )
    app.post(
      '/v1/storages',
      {
        config: { scope: 'admin' },
        schema: { body: StorageInput, response: { 201: one(Storage) } },
      },
      async (request, reply) =>
        reply.code(201).send({ data: await addStorage(storages, callerOf(request), request.body) }),
    )
  }
