import {
  Backup,
  BackupChange,
  BackupDetail,
  BackupList,
  BackupQuery,
  JobBackupQuery,
  Progress,
  ProjectBackupQuery,
} from '#shared/api/backups.ts'
import { gone, IdParams, one } from '#shared/api/shapes.ts'
import { type BackupId, type JobId, parseId, type ProjectId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import { pageRequest } from '../../../core/page.ts'
import { cancelBackup } from '../../../flow/cancel-backup.ts'
import type { CancelParts } from '../../../flow/cancel-run.ts'
import { pauseBackup, type PauseParts } from '../../../flow/pause-backup.ts'
import { found, foundId } from '../../../flow/found.ts'
import { backupDetail, type Details } from '../../../flow/reading/backup-detail.ts'
import type { Backups, Jobs } from '../../../ports.ts'
import type { CommittedBackup } from '../../../ports/reading.ts'
import type { Deletion } from '../../../ports/deletion.ts'
import type { Projects } from '../../../ports/tokens.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { within } from '../deadline.ts'
import { sizedAnswer } from '../lists.ts'

/** How long the answer of one backup waits for the names in it. */
const FILES: Ms = 1.5 * SECOND

export type BackupParts = {
  readonly backups: Backups
  readonly details: Details
  readonly jobs: Jobs
  readonly projects: Projects
  readonly agents: CancelParts & PauseParts
  readonly deletion: Deletion
  readonly wakeWorker: () => void
}

/** The same list, and below that of a project. */
const lists =
  ({ backups, jobs }: BackupParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/backups',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List backups, filtered and sorted',
          querystring: BackupQuery,
          response: { 200: BackupList },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const rows = await backups.list(callerOf(request), page, request.query)
        return sizedAnswer(request, page, rows)
      },
    )
    app.get(
      '/v1/jobs/:id/backups',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'The backups of a job',
          params: IdParams,
          querystring: JobBackupQuery,
          response: { 200: BackupList },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const caller = callerOf(request)
        const job_id = await foundId('job', request.params.id, async (id: JobId) =>
          jobs.get(caller, id),
        )
        const rows = await backups.list(caller, page, { ...request.query, job_id })
        return sizedAnswer(request, page, rows)
      },
    )
  }

const listsOfProject =
  ({ backups, projects }: BackupParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/projects/:id/backups',
      {
        config: { scope: 'read' },
        schema: {
          summary: "The backups of a project's servers",
          params: IdParams,
          querystring: ProjectBackupQuery,
          response: { 200: BackupList },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const caller = callerOf(request)
        const project_id = await foundId('project', request.params.id, async (id: ProjectId) =>
          projects.get(caller, id),
        )
        const rows = await backups.list(caller, page, { ...request.query, project_id })
        return sizedAnswer(request, page, rows)
      },
    )
  }

const reads =
  ({ backups, details }: BackupParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/backups/:id',
      {
        config: { scope: 'read', problems: ['INVALID_STATE', 'STORAGE_UNAVAILABLE'] },
        schema: {
          summary: 'One backup, with the first of its files',
          params: IdParams,
          response: { 200: one(BackupDetail) },
        },
      },
      async (request, reply) => {
        const caller = callerOf(request)
        const backup = await found('backup', request.params.id, async (id: BackupId) =>
          backups.get(caller, id),
        )
        const isCommitted = backup.status === 'completed' || backup.status === 'partial'
        const committed: CommittedBackup | null = isCommitted
          ? await details.reading.committed(caller, parseId(backup.id, 'id'))
          : null
        return {
          data: await within(reply, FILES, async (stop) =>
            backupDetail(details, [backup, committed], stop),
          ),
        }
      },
    )
    app.get(
      '/v1/backups/:id/progress',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'How far a backup is',
          params: IdParams,
          response: { 200: one(Progress) },
        },
      },
      async (request) => ({
        data: await found('backup', request.params.id, async (id: BackupId) =>
          backups.progress(callerOf(request), id),
        ),
      }),
    )
  }

const writes =
  ({ backups, agents }: BackupParts): Routes =>
  (app: App) => {
    app.route({
      method: ['PATCH', 'PUT'],
      url: '/v1/backups/:id',
      config: { scope: 'admin' },
      schema: {
        summary: "Change a backup's name and description",
        params: IdParams,
        body: BackupChange,
        response: { 200: one(Backup) },
      },
      handler: async (request) => ({
        data: await found('backup', request.params.id, async (id: BackupId) =>
          backups.change(callerOf(request), id, request.body),
        ),
      }),
    })
    app.post(
      '/v1/backups/:id/cancel',
      {
        config: { scope: 'backup', problems: ['INVALID_STATE'] },
        schema: {
          summary: 'Cancel a backup; 202 where its agent has yet to stop',
          params: IdParams,
          response: { 200: one(Backup), 202: one(Backup) },
        },
      },
      async (request, reply) => {
        const backup = await cancelBackup({ backups, agents }, callerOf(request), request.params.id)
        // An agent is told; the backup is over when the agent says so.
        return reply.code(backup.status === 'running' ? 202 : 200).send({ data: backup })
      },
    )
  }

const PAUSES = [
  ['pause', 'Have a backup wait where it is; it keeps its place and what it has sent'],
  ['resume', 'Let a paused backup go on'],
] as const

const pauses =
  ({ backups, agents }: BackupParts): Routes =>
  (app: App) => {
    for (const [wish, summary] of PAUSES)
      app.post(
        `/v1/backups/:id/${wish}`,
        {
          config: { scope: 'backup', problems: ['INVALID_STATE'] },
          schema: { summary, params: IdParams, response: { 200: one(Backup) } },
        },
        async (request) => {
          const { id } = request.params
          return { data: await pauseBackup({ backups, agents }, callerOf(request), [id, wish]) }
        },
      )
  }

const removals =
  ({ deletion, wakeWorker }: BackupParts): Routes =>
  (app: App) => {
    app.delete(
      '/v1/backups/:id',
      {
        config: {
          scope: 'delete',
          problems: ['CONFLICT', 'OPERATION_IN_PROGRESS', 'RESOURCE_HAS_DEPENDENCIES'],
        },
        schema: {
          summary: 'Delete a backup; for 72 hours it can be brought back',
          params: IdParams,
          response: { 204: gone },
        },
      },
      async (request, reply) => {
        await found('backup', request.params.id, async (id: BackupId) =>
          deletion.remove(callerOf(request), id),
        )
        wakeWorker()
        return reply.code(204).send(null)
      },
    )
    app.post(
      '/v1/backups/:id/undelete',
      {
        config: { scope: 'delete', problems: ['GONE'] },
        schema: {
          summary: 'Bring a deleted backup back, within 72 hours',
          params: IdParams,
          response: { 200: one(Backup) },
        },
      },
      async (request) => ({
        data: await found('backup', request.params.id, async (id: BackupId) =>
          deletion.restore(callerOf(request), id),
        ),
      }),
    )
  }

export const backupRoutes =
  (parts: BackupParts): Routes =>
  async (app: App) => {
    await lists(parts)(app)
    await listsOfProject(parts)(app)
    await reads(parts)(app)
    await writes(parts)(app)
    await pauses(parts)(app)
    await removals(parts)(app)
  }
