import {
  Enrollment,
  EnrollmentInput,
  Server,
  ServerChange,
  ServerInput,
  ServerQuery,
} from '#shared/api/servers.ts'
import { ServerSettings, ServerSettingsChange } from '#shared/api/server-settings.ts'
import { gone, IdParams, many, one } from '#shared/api/shapes.ts'
import type { ServerId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import { changeSettings } from '../../../flow/change-settings.ts'
import { addServer, changeServer, type ServerParts } from '../../../flow/change-server.ts'
import { type EndServerParts, removeServer, revokeServer } from '../../../flow/end-server.ts'
import { type EnrollmentParts, makeEnrollment } from '../../../flow/make-enrollment.ts'
import { found } from '../../../flow/found.ts'
import type { ServerSettingsRows } from '../../../ports/server-settings.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

type Parts = EnrollmentParts &
  ServerParts &
  EndServerParts & { readonly serverSettings: ServerSettingsRows }

const collection =
  (parts: Parts): Routes =>
  (app: App) => {
    app.get(
      '/v1/servers',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List servers',
          querystring: ServerQuery,
          response: { 200: many(Server) },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const rows = await parts.servers.list(callerOf(request), page, request.query)
        return listAnswer(request, page, rows)
      },
    )
    app.post(
      '/v1/servers',
      {
        config: { scope: 'admin', problems: ['CONFLICT', 'LIMIT_EXCEEDED', 'RESOURCE_NOT_FOUND'] },
        schema: {
          summary: 'Make a server; its agent is enrolled with a token of its own',
          body: ServerInput,
          response: { 201: one(Server) },
        },
      },
      async (request, reply) => {
        const server = await addServer(parts, callerOf(request), request.body)
        return reply.code(201).send({ data: server })
      },
    )
  }

const single =
  (parts: Parts): Routes =>
  (app: App) => {
    app.get(
      '/v1/servers/:id',
      {
        config: { scope: 'read' },
        schema: { summary: 'One server', params: IdParams, response: { 200: one(Server) } },
      },
      async (request) => ({
        data: await found('server', request.params.id, async (id: ServerId) =>
          parts.servers.get(callerOf(request), id),
        ),
      }),
    )
    app.patch(
      '/v1/servers/:id',
      {
        config: { scope: 'admin', problems: ['CONFLICT'] },
        schema: {
          summary: 'Change a server',
          params: IdParams,
          body: ServerChange,
          response: { 200: one(Server) },
        },
      },
      async (request) => ({
        data: await changeServer(parts, callerOf(request), {
          ...request.body,
          id: request.params.id,
        }),
      }),
    )
    app.delete(
      '/v1/servers/:id',
      {
        config: { scope: 'admin', problems: ['RESOURCE_HAS_DEPENDENCIES'] },
        schema: {
          summary: 'Remove a server without jobs; its backups stay',
          params: IdParams,
          response: { 204: gone },
        },
      },
      async (request, reply) => {
        await removeServer(parts, callerOf(request), request.params.id)
        return reply.code(204).send(null)
      },
    )
  }

const settings =
  (parts: Parts): Routes =>
  (app: App) => {
    app.get(
      '/v1/servers/:id/settings',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'What counts for everything that the agent of a server does',
          params: IdParams,
          response: { 200: one(ServerSettings) },
        },
      },
      async (request) => ({
        data: await found('server', request.params.id, async (id: ServerId) =>
          parts.serverSettings.get(callerOf(request), id),
        ),
      }),
    )
    app.put(
      '/v1/servers/:id/settings',
      {
        config: { scope: 'admin' },
        schema: {
          summary: 'Change settings of a server; what is left out stays as it is',
          params: IdParams,
          body: ServerSettingsChange,
          response: { 200: one(ServerSettings) },
        },
      },
      async (request) => {
        const { id } = request.params
        return {
          data: await changeSettings(parts.serverSettings, callerOf(request), [id, request.body]),
        }
      },
    )
  }

const agents =
  (parts: Parts): Routes =>
  (app: App) => {
    app.post(
      '/v1/servers/:id/revoke',
      {
        config: { scope: 'admin' },
        schema: {
          summary: "Shut the server's agent out until it is enrolled again",
          params: IdParams,
          response: { 200: one(Server) },
        },
      },
      async (request) => ({
        data: await revokeServer(parts, callerOf(request), request.params.id),
      }),
    )
    app.post(
      '/v1/servers/:id/enrollment-tokens',
      {
        config: { scope: 'admin', problems: ['INVALID_STATE'] },
        schema: {
          summary: 'Make a one-time token, and the command that enrols the agent with it',
          params: IdParams,
          body: EnrollmentInput,
          response: { 201: one(Enrollment) },
        },
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

export const serverRoutes =
  (parts: Parts): Routes =>
  async (app: App) => {
    await collection(parts)(app)
    await single(parts)(app)
    await settings(parts)(app)
    await agents(parts)(app)
  }
