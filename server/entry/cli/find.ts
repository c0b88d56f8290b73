/** Names and ids as people type them → the things that they mean. */
import { Backup } from '#shared/api/backups.ts'
import { Job } from '#shared/api/jobs.ts'
import { Server } from '#shared/api/servers.ts'
import { fail } from '#shared/errors.ts'
import { isId } from '#shared/ids.ts'
import type { Static, TSchema } from '#shared/schema.ts'
import { type Api, listOf } from './api-client.ts'

type Named<S extends TSchema> = { readonly path: string; readonly what: string; readonly schema: S }

const byName = async <S extends TSchema>(
  api: Api,
  { path, what, schema }: Named<S>,
  [text, stop]: readonly [string, AbortSignal],
): Promise<Static<S>> => {
  if (isId(text)) return api.get(`${path}/${text}`, schema, stop)
  const list = await api.get(`${path}?name=${encodeURIComponent(text)}`, listOf(schema), stop)
  const [found] = list
  if (found === undefined) throw fail('RESOURCE_NOT_FOUND', { resource: what, id: text })
  return found
}

export const findJob = async (api: Api, text: string, stop: AbortSignal): Promise<Job> =>
  byName(api, { path: '/v1/jobs', what: 'job', schema: Job }, [text, stop])

export const findServer = async (api: Api, text: string, stop: AbortSignal): Promise<Server> =>
  byName(api, { path: '/v1/servers', what: 'server', schema: Server }, [text, stop])

const newest = async (api: Api, filter: string, stop: AbortSignal): Promise<Backup | undefined> => {
  const good = await Promise.all(
    ['completed', 'partial'].map(async (status) =>
      api.get(`/v1/backups?${filter}status=${status}&limit=1`, listOf(Backup), stop),
    ),
  )
  return good.flat().sort((a, b) => (a.id < b.id ? 1 : -1))[0]
}

/** An id, `latest` (of all), or the name of a job: its newest backup that can be restored. */
export const findBackup = async (api: Api, text: string, stop: AbortSignal): Promise<Backup> => {
  if (isId(text)) return api.get(`/v1/backups/${text}`, Backup, stop)
  const filter = text === 'latest' ? '' : `job_id=${(await findJob(api, text, stop)).id}&`
  const found = await newest(api, filter, stop)
  if (found === undefined)
    throw fail('RESOURCE_NOT_FOUND', { resource: 'backup that can be restored of', id: text })
  return found
}

/** An id, or the name of a job: its backup that is not over. */
export const findOpenBackup = async (
  api: Api,
  text: string,
  stop: AbortSignal,
): Promise<Backup> => {
  if (isId(text)) return api.get(`/v1/backups/${text}`, Backup, stop)
  const { id } = await findJob(api, text, stop)
  for (const status of ['running', 'pending']) {
    const query = `job_id=${id}&status=${status}&limit=1`
    const [open] = await api.get(`/v1/backups?${query}`, listOf(Backup), stop)
    if (open !== undefined) return open
  }
  throw fail('RESOURCE_NOT_FOUND', { resource: 'backup under way of', id: text })
}
