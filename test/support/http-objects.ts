/** Objects that the contract tests of the API are about. */
import { randomBytes } from 'node:crypto'
import { makeToken } from '#server/io/secrets.ts'
import type { Scope } from '#shared/api/tokens.ts'
import { makeId, type Id, type OrgId, type ProjectId } from '#shared/ids.ts'
import { dataOf, rowsOf } from './answers.ts'
import type { TestApp, TestDatabase } from './http-app.ts'

export const newId = <Kind extends string>(): Id<Kind> => makeId<Kind>(Date.now(), randomBytes(10))

/** A token of another organization, or of fewer rights, straight into the table. */
export const addToken = async (
  { database }: Pick<TestDatabase, 'database'>,
  over: { org?: OrgId; project?: ProjectId; scopes?: Scope[]; expires?: Date } = {},
): Promise<string> => {
  const { token, hash } = makeToken(randomBytes)
  const [own] = await database.db.selectFrom('organizations').select('id').execute()
  await database.db
    .insertInto('tokens')
    .values({
      id: newId<'token'>(),
      org_id: over.org ?? own!.id,
      project_id: over.project ?? null,
      name: 'other',
      hash,
      scopes: over.scopes ?? ['read', 'backup', 'restore', 'download', 'delete', 'keys', 'admin'],
      ...(over.expires === undefined ? {} : { expires_at: over.expires }),
    })
    .execute()
  return token
}

/** The id of what a POST has made. */
export const added = async (api: TestApp, path: string, body: object): Promise<string> => {
  const answer = await api.call('POST', path, { body })
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
  return String(dataOf(answer)['id'])
}

export const addServer = async (api: TestApp, name: string, more: object = {}): Promise<string> =>
  added(api, '/v1/servers', { name, type: 'agent', ...more })

export const addProject = async (api: TestApp, name: string): Promise<string> =>
  added(api, '/v1/projects', { name })

export const parts = async (
  api: TestApp,
): Promise<{ storage_id: unknown; encryption_key_id: unknown }> => ({
  storage_id: rowsOf(await api.call('GET', '/v1/storages'))[0]!['id'],
  encryption_key_id: rowsOf(await api.call('GET', '/v1/encryption-keys?type=managed'))[0]!['id'],
})

/** `where`: more of its server. */
export const addJob = async (
  api: TestApp,
  name: string,
  where: object = {},
): Promise<{ job: string; server: string }> => {
  const server = await addServer(api, `server of ${name}`, where)
  const answer = await api.call('POST', '/v1/jobs', {
    body: {
      name,
      server_id: server,
      ...(await parts(api)),
      sources: [{ type: 'files', paths: ['/etc'], exclude: ['*.tmp'] }],
    },
  })
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
  return { job: String(dataOf(answer)['id']), server }
}
