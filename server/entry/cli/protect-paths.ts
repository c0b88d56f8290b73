/** Makes sure that this machine is a server with an enrolled agent and that there is a job for exactly these paths. */
import { createHash } from 'node:crypto'
import { rename } from 'node:fs/promises'
import { hostname } from 'node:os'
import { EncryptionKey } from '#shared/api/encryption-keys.ts'
import { Job, type JobInput } from '#shared/api/jobs.ts'
import { Enrollment, Server } from '#shared/api/servers.ts'
import { Storage } from '#shared/api/storages.ts'
import { fail, hasCode } from '#shared/errors.ts'
import { type AgentPlace, enrolledAs } from './agent-place.ts'
import { enrollAgent } from './agent-process.ts'
import { type Api, listOf } from './api-client.ts'

/** Which vault: the server's is named by these two. */
type Target = { readonly storage: Storage; readonly key: EncryptionKey }

const oldest = '?sort=created_at&limit=100'

/** The storage that came with the data folder, else the first that was added; the same for the managed key. */
export const chooseTarget = async (api: Api, stop: AbortSignal): Promise<Target> => {
  const storages = await api.get(`/v1/storages${oldest}`, listOf(Storage), stop)
  const storage = storages.find((one) => one.provider === 'embedded') ?? storages[0]
  const keys = await api.get(`/v1/encryption-keys${oldest}`, listOf(EncryptionKey), stop)
  const key = keys.find((one) => one.type === 'managed') ?? keys[0]
  if (storage === undefined)
    throw fail('RESOURCE_NOT_FOUND', { resource: 'storage', id: 'to write to' })
  if (key === undefined)
    throw fail('RESOURCE_NOT_FOUND', { resource: 'encryption key', id: 'to encrypt to' })
  return { storage, key }
}

const knownServer = async (api: Api, id: string, stop: AbortSignal): Promise<Server | null> => {
  try {
    return await api.get(`/v1/servers/${id}`, Server, stop)
  } catch (error) {
    if (hasCode(error, 'RESOURCE_NOT_FOUND')) return null
    throw error
  }
}

/** One that an interrupted first start has made: nobody was ever enrolled as it. */
const unused = async (api: Api, name: string, stop: AbortSignal): Promise<Server | null> => {
  const query = `?name=${encodeURIComponent(name)}&status=pending`
  const [found] = await api.get(`/v1/servers${query}`, listOf(Server), stop)
  return found?.facts === null ? found : null
}

/** `web1`, else `web1 (2)` and so on: another data folder of this machine may have taken the name. */
const addServer = async (api: Api, stop: AbortSignal): Promise<Server> => {
  const base = hostname().slice(0, 180) || 'this machine'
  for (let n = 1; ; n += 1) {
    const name = n === 1 ? base : `${base} (${n})`
    try {
      return await api.post('/v1/servers', { name, type: 'agent' }, Server, stop)
    } catch (error) {
      if (!hasCode(error, 'CONFLICT') || n === 100) throw error
      const found = await unused(api, name, stop)
      if (found !== null) return found
    }
  }
}

/**
 * The server that the agent's state speaks of, or a new one with a freshly enrolled agent. State that this control
 * plane does not know (its database was replaced) is moved aside, not deleted: it holds keys.
 */
export const ensureServer = async (
  api: Api,
  place: AgentPlace,
  target: Target,
  stop: AbortSignal,
): Promise<{ readonly server: Server; readonly isNew: boolean }> => {
  const id = await enrolledAs(place)
  const known = id === null ? null : await knownServer(api, id, stop)
  if (known !== null) return { server: known, isNew: false }
  if (id !== null) await rename(place.state, `${place.state}-of-${id}`)
  const server = await addServer(api, stop)
  const enrollment = await api.post(
    `/v1/servers/${server.id}/enrollment-tokens`,
    {
      vaults: [{ storage_id: target.storage.id, encryption_key_id: target.key.id }],
      expires_in: 'PT10M',
    },
    Enrollment,
    stop,
  )
  const fingerprints = enrollment.vaults.map((vault) => vault.fingerprint)
  await enrollAgent(place, { url: api.url, token: enrollment.token, fingerprints }, stop)
  return { server, isNew: true }
}

/** Names the set of paths, so that the same set finds its job again. */
const setName = (paths: readonly string[]): string =>
  `up:${createHash('sha256').update(JSON.stringify(paths)).digest('base64url')}`

const jobName = (server: Server, paths: readonly string[]): string => {
  const all = `${server.name}: ${paths.join(', ')}`
  return all.length <= 150 ? all : `${all.slice(0, 149)}…`
}

export const ensureJob = async (
  api: Api,
  of: Target & { readonly server: Server; readonly paths: readonly string[] },
  stop: AbortSignal,
): Promise<Job> => {
  const external = setName(of.paths)
  const query = `?server_id=${of.server.id}&external_id=${encodeURIComponent(external)}`
  const [found] = await api.get(`/v1/jobs${query}`, listOf(Job), stop)
  if (found !== undefined) return found
  const input: JobInput = {
    name: jobName(of.server, of.paths),
    server_id: of.server.id,
    storage_id: of.storage.id,
    encryption_key_id: of.key.id,
    sources: [{ type: 'files', paths: [...of.paths] }],
    external_id: external,
  }
  try {
    return await api.post('/v1/jobs', input, Job, stop)
  } catch (error) {
    if (!hasCode(error, 'CONFLICT')) throw error
    // Another job has the name, for example one whose long list of paths is cut at the same place.
    const name = `${input.name} ${external.slice(3, 11)}`
    return api.post('/v1/jobs', { ...input, name }, Job, stop)
  }
}
