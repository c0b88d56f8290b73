import {
  Enrollment,
  EnrollmentInput,
  Server,
  ServerInput,
  ServerQuery,
} from '#shared/api/servers.ts'
import { IdParams, many, one } from '#shared/api/shapes.ts'
import type { ServerId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import { addServer, type ServerParts } from '../../../flow/change-server.ts'
import { type EnrollmentParts, makeEnrollment } from '../../../flow/make-enrollment.ts'
import { found } from '../../../flow/found.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

const SORTABLE = ['created_at', 'name', 'status']

export const serverRoutes =
  (parts: EnrollmentParts & ServerParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/servers',
      {
        config: { scope: 'read' },
        schema: { querystring: ServerQuery, response: { 200: many(Server) } },
      },
      async (request) => {
        const page = pageRequest(request.query, SORTABLE)
        const rows = await parts.servers.list(callerOf(request), page, request.query)
        return listAnswer(request, page, rows)
      },
    )
    app.post(
      '/v1/servers',
      {
        config: { scope: 'admin' },
        schema: { body: ServerInput, response: { 201: one(Server) } },
      },
      async (request, reply) => {
        const server = await addServer(parts, callerOf(request), request.body)
        return reply.code(201).send({ data: server })
      },
    )
    app.get(
      '/v1/servers/:id',
      {
        config: { scope: 'read' },
        schema: { params: IdParams, response: { 200: one(Server) } },
      },
      async (request) => ({
        data: await found('server', request.params.id, async (id: ServerId) =>
          parts.servers.get(callerOf(request), id),
        ),
      }),
    )
    app.post(
      '/v1/servers/:id/enrollment-tokens',
      {
        config: { scope: 'admin' },
        schema: { params: IdParams, body: EnrollmentInput, response: { 201: one(Enrollment) } },
      },
      async (request, reply) => {
        const made = await makeEnrollment(parts, callerOf(request), {
          server: request.params.id,
          ...request.body,
        })
        return reply.code(201).send({ data: made })
      },
    )
  }
