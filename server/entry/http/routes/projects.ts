import { Project, ProjectChange, ProjectInput, ProjectQuery } from '#shared/api/projects.ts'
import { gone, IdParams, many, one } from '#shared/api/shapes.ts'
import type { ProjectId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import { found, foundId } from '../../../flow/found.ts'
import type { Projects } from '../../../ports/tokens.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

const collection =
  (projects: Projects): Routes =>
  (app: App) => {
    app.get(
      '/v1/projects',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List projects',
          querystring: ProjectQuery,
          response: { 200: many(Project) },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const rows = await projects.list(callerOf(request), page, request.query)
        return listAnswer(request, page, rows)
      },
    )
    app.post(
      '/v1/projects',
      {
        config: { scope: 'admin', of: 'organization', problems: ['CONFLICT', 'LIMIT_EXCEEDED'] },
        schema: { summary: 'Make a project', body: ProjectInput, response: { 201: one(Project) } },
      },
      async (request, reply) =>
        reply.code(201).send({ data: await projects.add(callerOf(request), request.body) }),
    )
  }

const single =
  (projects: Projects): Routes =>
  (app: App) => {
    app.get(
      '/v1/projects/:id',
      {
        config: { scope: 'read' },
        schema: { summary: 'One project', params: IdParams, response: { 200: one(Project) } },
      },
      async (request) => ({
        data: await found('project', request.params.id, async (id: ProjectId) =>
          projects.get(callerOf(request), id),
        ),
      }),
    )
    app.patch(
      '/v1/projects/:id',
      {
        config: { scope: 'admin', problems: ['CONFLICT'] },
        schema: {
          summary: 'Change a project',
          params: IdParams,
          body: ProjectChange,
          response: { 200: one(Project) },
        },
      },
      async (request) => ({
        data: await found('project', request.params.id, async (id: ProjectId) =>
          projects.change(callerOf(request), id, request.body),
        ),
      }),
    )
    app.delete(
      '/v1/projects/:id',
      {
        config: { scope: 'admin', of: 'organization', problems: ['RESOURCE_HAS_DEPENDENCIES'] },
        schema: {
          summary: 'Remove a project that no server is in; its tokens go with it',
          params: IdParams,
          response: { 204: gone },
        },
      },
      async (request, reply) => {
        await foundId('project', request.params.id, async (id: ProjectId) =>
          (await projects.remove(callerOf(request), id)) ? id : null,
        )
        return reply.code(204).send(null)
      },
    )
  }

export const projectRoutes =
  (projects: Projects): Routes =>
  async (app: App) => {
    await collection(projects)(app)
    await single(projects)(app)
  }
