import { Backup, BackupInput } from '#shared/api/backups.ts'
import {
  Job,
  JobChange,
  JobInput,
  JobQuery,
  JobVersion,
  JobVersionQuery,
} from '#shared/api/jobs.ts'
import { gone, IdParams, many, one } from '#shared/api/shapes.ts'
import type { JobId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import { changeJob, createJob, type JobParts } from '../../../flow/change-job.ts'
import { found, foundId } from '../../../flow/found.ts'
import { startBackup, type StartBackupParts } from '../../../flow/start-backup.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

type Parts = JobParts & StartBackupParts

const collection =
  (parts: Parts): Routes =>
  (app: App) => {
    app.get(
      '/v1/jobs',
      {
        config: { scope: 'read' },
        schema: { summary: 'List jobs', querystring: JobQuery, response: { 200: many(Job) } },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const rows = await parts.jobs.list(callerOf(request), page, request.query)
        return listAnswer(request, page, rows)
      },
    )
    app.post(
      '/v1/jobs',
      {
        config: {
          scope: 'admin',
          problems: ['RESOURCE_NOT_FOUND', 'CONFLICT', 'LIMIT_EXCEEDED', 'INVALID_STATE'],
        },
        schema: { summary: 'Make a job', body: JobInput, response: { 201: one(Job) } },
      },
      async (request, reply) =>
        reply.code(201).send({ data: await createJob(parts, callerOf(request), request.body) }),
    )
  }

const single =
  (parts: Parts): Routes =>
  (app: App) => {
    app.get(
      '/v1/jobs/:id',
      {
        config: { scope: 'read' },
        schema: { summary: 'One job, as it is now', params: IdParams, response: { 200: one(Job) } },
      },
      async (request) => ({
        data: await found('job', request.params.id, async (id: JobId) =>
          parts.jobs.get(callerOf(request), id),
        ),
      }),
    )
    app.patch(
      '/v1/jobs/:id',
      {
        config: { scope: 'admin', problems: ['CONFLICT', 'INVALID_STATE'] },
        schema: {
          summary: 'Change a job: a new version of it',
          params: IdParams,
          body: JobChange,
          response: { 200: one(Job) },
        },
      },
      async (request) => ({
        data: await changeJob(parts, callerOf(request), {
          ...request.body,
          id: request.params.id,
        }),
      }),
    )
    app.delete(
      '/v1/jobs/:id',
      {
        config: { scope: 'admin', problems: ['OPERATION_IN_PROGRESS'] },
        schema: {
          summary: 'Remove a job; its backups stay',
          params: IdParams,
          response: { 204: gone },
        },
      },
      async (request, reply) => {
        await foundId('job', request.params.id, async (id: JobId) =>
          (await parts.jobs.remove(callerOf(request), id)) ? id : null,
        )
        return reply.code(204).send(null)
      },
    )
  }

const below =
  (parts: Parts): Routes =>
  (app: App) => {
    app.get(
      '/v1/jobs/:id/versions',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'What a job was, newest first',
          params: IdParams,
          querystring: JobVersionQuery,
          response: { 200: many(JobVersion) },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const caller = callerOf(request)
        const id = await foundId('job', request.params.id, async (job: JobId) =>
          parts.jobs.get(caller, job),
        )
        return listAnswer(request, page, await parts.jobs.versions(caller, id, page))
      },
    )
    app.post(
      '/v1/jobs/:id/backups',
      {
        config: {
          scope: 'backup',
          problems: ['JOB_VERSION_NOT_FOUND', 'OPERATION_IN_PROGRESS', 'CONFLICT'],
        },
        schema: {
          summary: 'Start a backup now',
          params: IdParams,
          body: BackupInput,
          response: { 202: one(Backup) },
        },
      },
      async (request, reply) => {
        const backup = await startBackup(parts, callerOf(request), {
          job: request.params.id,
          ...request.body,
        })
        return reply.code(202).send({ data: backup })
      },
    )
  }

export const jobRoutes =
  (parts: Parts): Routes =>
  async (app: App) => {
    await collection(parts)(app)
    await single(parts)(app)
    await below(parts)(app)
  }
