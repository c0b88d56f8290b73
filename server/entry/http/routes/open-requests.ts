import {
  ApprovalInput,
  OpenRequest,
  OpenRequestInput,
  OpenRequestPack,
  OpenRequestPackQuery,
  OpenRequestQuery,
} from '#shared/api/open-requests.ts'
import { IdParams, many, one } from '#shared/api/shapes.ts'
import { type OpenRequestId, parseId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import { pageRequest } from '../../../core/page.ts'
import { approveRequest, type ApproveParts } from '../../../flow/open-requests/approve-request.ts'
import { makeRequest, type MakeRequestParts } from '../../../flow/open-requests/make-request.ts'
import { showRequest } from '../../../flow/open-requests/show-request.ts'
import { found } from '../../../flow/found.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { within } from '../deadline.ts'
import { listAnswer } from '../lists.ts'

/** The names of what is chosen are read, so that no more packs are opened than hold them. */
const READING: Ms = 30 * SECOND

const DEFAULT_PACKS = 100

export type OpenRequestParts = MakeRequestParts & ApproveParts

const asking =
  (parts: OpenRequestParts): Routes =>
  (app: App) => {
    app.post(
      '/v1/open-requests',
      {
        // Which of them a purpose needs is looked at where it is known.
        config: {
          scope: 'restore',
          or: 'download',
          problems: [
            'RESOURCE_NOT_FOUND',
            'INVALID_STATE',
            'LIMIT_EXCEEDED',
            'STORAGE_UNAVAILABLE',
            'DAMAGED',
            'MISSING_OBJECT',
          ],
        },
        schema: {
          summary: "Ask the holder of a customer's key to open packs",
          body: OpenRequestInput,
          response: { 201: one(OpenRequest) },
        },
      },
      async (request, reply) => {
        const made = await within(reply, READING, async (stop) =>
          makeRequest(parts, [callerOf(request), request.body], stop),
        )
        return reply.code(201).send({ data: made })
      },
    )
    app.post(
      '/v1/open-requests/:id/approve',
      {
        config: { scope: 'keys', problems: ['INVALID_STATE'] },
        schema: {
          summary: 'Give the keys that were asked for, sealed to the opener',
          params: IdParams,
          body: ApprovalInput,
          response: { 200: one(OpenRequest) },
        },
      },
      async (request) => ({
        data: await approveRequest(parts, callerOf(request), {
          request: request.params.id,
          ...request.body,
        }),
      }),
    )
  }

const looking =
  (parts: OpenRequestParts): Routes =>
  (app: App) => {
    const { openRequests } = parts
    app.get(
      '/v1/open-requests',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List open requests',
          querystring: OpenRequestQuery,
          response: { 200: many(OpenRequest) },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const rows = await openRequests.list(callerOf(request), page, request.query)
        return listAnswer(request, page, rows)
      },
    )
    app.get(
      '/v1/open-requests/:id',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'One open request, with what its approver has to verify',
          params: IdParams,
          response: { 200: one(OpenRequest) },
        },
      },
      async (request) => ({
        data: await showRequest(parts, callerOf(request), request.params.id),
      }),
    )
  }

const packs =
  ({ openRequests }: OpenRequestParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/open-requests/:id/packs',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'The packs of an open request, page by page',
          params: IdParams,
          querystring: OpenRequestPackQuery,
          response: { 200: many(OpenRequestPack) },
        },
      },
      async (request) => {
        const { limit = DEFAULT_PACKS, cursor } = request.query
        const known = await found('open request', request.params.id, async (id: OpenRequestId) =>
          openRequests.get(callerOf(request), id),
        )
        const id: OpenRequestId = parseId(known.id, 'id')
        const packs = await openRequests.packs(id, Number(cursor ?? 0), limit)
        const last = packs.length < limit ? undefined : packs.at(-1)
        return {
          data: [...packs],
          meta: {
            request_id: request.id,
            total: known.pack_count,
            limit,
            offset: 0,
            next_cursor: last === undefined ? null : String(last.no),
          },
        }
      },
    )
  }

export const openRequestRoutes =
  (parts: OpenRequestParts): Routes =>
  async (app: App) => {
    for (const add of [asking(parts), looking(parts), packs(parts)]) await add(app)
  }
