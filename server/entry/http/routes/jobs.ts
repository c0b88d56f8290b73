import { Backup, BackupInput } from '#shared/api/backups.ts'
import { Job, JobInput, JobQuery } from '#shared/api/jobs.ts'
import { IdParams, many, one } from '#shared/api/shapes.ts'
import type { JobId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import { createJob, type CreateJobParts } from '../../../flow/create-job.ts'
import { found } from '../../../flow/found.ts'
import { startBackup, type StartBackupParts } from '../../../flow/start-backup.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

const SORTABLE = ['created_at', 'name']

export const jobRoutes =
  (parts: CreateJobParts & StartBackupParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/jobs',
      {
        config: { scope: 'read' },
        schema: { querystring: JobQuery, response: { 200: many(Job) } },
      },
      async (request) => {
        const page = pageRequest(request.query, SORTABLE)
        const rows = await parts.jobs.list(callerOf(request), page, request.query)
        return listAnswer(request, page, rows)
      },
    )
    app.post(
      '/v1/jobs',
      { config: { scope: 'admin' }, schema: { body: JobInput, response: { 201: one(Job) } } },
      async (request, reply) =>
        reply.code(201).send({ data: await createJob(parts, callerOf(request), request.body) }),
    )
    app.get(
      '/v1/jobs/:id',
      { config: { scope: 'read' }, schema: { params: IdParams, response: { 200: one(Job) } } },
      async (request) => ({
        data: await found('job', request.params.id, async (id: JobId) =>
          parts.jobs.get(callerOf(request), id),
        ),
      }),
    )
    app.post(
      '/v1/jobs/:id/backups',
      {
        config: { scope: 'backup' },
        schema: { params: IdParams, body: BackupInput, response: { 202: one(Backup) } },
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
