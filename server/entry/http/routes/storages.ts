import type { FastifyRequest } from 'fastify'
import { GcInput, GcReport } from '#shared/api/gc.ts'
import { gone, IdParams, many, one } from '#shared/api/shapes.ts'
import {
  Storage,
  StorageChange,
  StorageInput,
  StorageQuery,
  StorageReport,
} from '#shared/api/storages.ts'
import type { StorageId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import {
  addStorage,
  changeStorage,
  type StorageParts,
  testStorage,
} from '../../../flow/change-storage.ts'
import { found, foundId } from '../../../flow/found.ts'
import type { Deletion } from '../../../ports/deletion.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

export type StorageRouteParts = StorageParts & {
  readonly deletion: Deletion
  readonly wakeWorker: () => void
}

const collection =
  (parts: StorageParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/storages',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List storages, without their credentials',
          querystring: StorageQuery,
          response: { 200: many(Storage) },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        return listAnswer(
          request,
          page,
          await parts.storages.list(callerOf(request), page, request.query),
        )
      },
    )
    app.post(
      '/v1/storages',
      {
        config: {
          scope: 'admin',
          of: 'organization',
          problems: ['CONFLICT', 'STORAGE_UNAVAILABLE'],
        },
        schema: {
          summary: 'Add a storage, after a test of it',
          body: StorageInput,
          response: { 201: one(Storage) },
        },
      },
      async (request, reply) =>
        reply.code(201).send({ data: await addStorage(parts, callerOf(request), request.body) }),
    )
  }

const single =
  (parts: StorageParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/storages/:id',
      {
        config: { scope: 'read' },
        schema: { summary: 'One storage', params: IdParams, response: { 200: one(Storage) } },
      },
      async (request) => ({
        data: await found('storage', request.params.id, async (id: StorageId) =>
          parts.storages.get(callerOf(request), id),
        ),
      }),
    )
    app.patch(
      '/v1/storages/:id',
      {
        config: {
          scope: 'admin',
          of: 'organization',
          problems: ['CONFLICT', 'RESOURCE_HAS_DEPENDENCIES', 'STORAGE_UNAVAILABLE'],
        },
        schema: {
          summary: 'Change a storage, after a test of what is new',
          params: IdParams,
          body: StorageChange,
          response: { 200: one(Storage) },
        },
      },
      async (request) => ({
        data: await changeStorage(parts, callerOf(request), {
          ...request.body,
          id: request.params.id,
        }),
      }),
    )
    app.delete(
      '/v1/storages/:id',
      {
        config: { scope: 'admin', of: 'organization', problems: ['RESOURCE_HAS_DEPENDENCIES'] },
        schema: {
          summary: 'Remove a storage that nothing uses',
          params: IdParams,
          response: { 204: gone },
        },
      },
      async (request, reply) => {
        await foundId('storage', request.params.id, async (id: StorageId) =>
          (await parts.storages.remove(callerOf(request), id)) ? id : null,
        )
        return reply.code(204).send(null)
      },
    )
  }

const testing =
  (parts: StorageParts): Routes =>
  (app: App) => {
    app.post(
      '/v1/storages/:id/test',
      {
        config: { scope: 'admin', of: 'organization' },
        schema: {
          summary: 'Write, read back, overwrite and delete there, and report what it can do',
          params: IdParams,
          response: { 200: one(StorageReport) },
        },
      },
      async (request) => ({
        data: await testStorage(parts, callerOf(request), request.params.id),
      }),
    )
  }

const collecting =
  ({ deletion, wakeWorker }: StorageRouteParts): Routes =>
  (app: App) => {
    const reported = async (request: FastifyRequest, id: string): Promise<GcReport> =>
      found('storage', id, async (storage: StorageId) =>
        deletion.report(callerOf(request), storage),
      )
    app.get(
      '/v1/storages/:id/gc',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'What nothing needs in a storage, and how far its collection is',
          params: IdParams,
          response: { 200: one(GcReport) },
        },
      },
      async (request) => ({ data: await reported(request, request.params.id) }),
    )
    app.post(
      '/v1/storages/:id/gc',
      {
        config: { scope: 'admin', of: 'organization' },
        schema: {
          summary: 'Delete what nothing needs, without reading anything; 202, followed by GET',
          params: IdParams,
          body: GcInput,
          response: { 200: one(GcReport), 202: one(GcReport) },
        },
      },
      async (request, reply) => {
        const { id } = request.params
        if (request.body.dry_run === true) return { data: await reported(request, id) }
        await foundId('storage', id, async (storage: StorageId) =>
          (await deletion.ask(callerOf(request), storage)) ? storage : null,
        )
        wakeWorker()
        return reply.code(202).send({ data: { ...(await reported(request, id)), dry_run: false } })
      },
    )
  }

export const storageRoutes =
  (parts: StorageRouteParts): Routes =>
  async (app: App) => {
    await collection(parts)(app)
    await single(parts)(app)
    await testing(parts)(app)
    await collecting(parts)(app)
  }
