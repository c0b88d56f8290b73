/** An organization with one of everything that the API knows, and another one beside it. */
import { type Ids, OPENER_KEY } from './api-bodies.ts'
import { type Walk, walkOver } from './api-walk.ts'
import { dataOf } from './answers.ts'
import type { Method } from './http-app.ts'
import { added, addProject, addToken, newId } from './http-objects.ts'
import { partsOf, restoringAgent } from './restoring.ts'
import { ACCESS_KEY, REGION, SECRET } from './s3-server.ts'
import { type ReadingWorld, readingWorld, storeVault, type StoredVault } from './stored-vault.ts'
import { directory, file } from './vault-place.ts'

export type PopulatedWorld = ReadingWorld & {
  readonly walk: Walk
  readonly open: StoredVault
  /** Of a customer's key, with which the open request is answered. */
  readonly locked: StoredVault
  /** All scopes, in the other organization, and what that one has by the name of the field that names it. */
  readonly foreignToken: string
  readonly foreign: Ids
  /** All scopes, in a third one that has nothing. */
  readonly strangerToken: string
}

const ENTRIES = [directory('/d'), file('/d/one', 'one'), file('/d/two', 'two')]

export const storageAt = ({ s3 }: ReadingWorld, name: string): object => ({
  name,
  provider: 'other',
  endpoint: s3.endpoint,
  region: REGION,
  bucket: 'vaults',
  prefix: name,
  access_key_id: ACCESS_KEY,
  secret_access_key: SECRET,
})

const addOrganization = async (world: ReadingWorld, name: string): Promise<string> => {
  const org = newId<'organization'>()
  await world.database.db
    .insertInto('organizations')
    .values({ id: org, name, recovery_recipient: null, signing_public_key: null })
    .execute()
  return addToken(world, { org })
}

const ownIds = async (
  world: ReadingWorld,
  [open, locked]: readonly [StoredVault, StoredVault],
): Promise<Ids> => {
  const { api, storage } = world
  const posted = async (path: string, body: object = {}, method: Method = 'POST') => {
    const answer = await api.call(method, path, { body })
    if (answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer.body)}`)
    return String(dataOf(answer)['id'])
  }
  const backup = (await open.backup(ENTRIES)).id
  const lockedBackup = (await locked.backup(ENTRIES)).id
  const projects = await addProject(api, 'own')
  await posted(`/v1/servers/${open.server}`, { project_id: projects }, 'PATCH')
  await restoringAgent(world, partsOf(world), open.server)
  const restores = await posted(`/v1/backups/${backup}/restore`, { target_path: '/place' })
  const asked = { purpose: 'download', backup_id: lockedBackup, opener_key: OPENER_KEY }
  await api.call('POST', `/v1/backups/${backup}/download`, { body: {} })
  const download = await world.database.db
    .selectFrom('downloads')
    .select('id')
    .executeTakeFirstOrThrow()
  return {
    projects,
    restores,
    servers: open.server,
    storages: storage,
    'encryption-keys': open.key,
    jobs: open.job,
    backups: backup,
    'locked backup': lockedBackup,
    downloads: download.id,
    tokens: await added(api, '/v1/tokens', { name: 'own', scopes: ['read'] }),
    'open-requests': await posted('/v1/open-requests', asked),
    verifications: await posted(`/v1/backups/${backup}/verify`, { level: 'restore' }),
  }
}

export const populatedWorld = async (): Promise<PopulatedWorld> => {
  const world = await readingWorld()
  const open = await storeVault(world)
  const locked = await storeVault(world, { key: 'customer' })
  const walk = walkOver(world.api, await ownIds(world, [open, locked]))
  const foreignToken = await addOrganization(world, 'foreign')
  const made = async (path: string, body: object): Promise<string> => {
    const answer = await world.api.call('POST', path, { body, token: foreignToken })
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
    return String(dataOf(answer)['id'])
  }
  return {
    ...world,
    walk,
    open,
    locked,
    foreignToken,
    foreign: {
      project_id: await made('/v1/projects', { name: 'theirs' }),
      server_id: await made('/v1/servers', { name: 'theirs', type: 'agent' }),
      storage_id: await made('/v1/storages', storageAt(world, 'theirs')),
      encryption_key_id: await made('/v1/encryption-keys', { name: 'theirs', type: 'managed' }),
    },
    strangerToken: await addOrganization(world, 'stranger'),
  }
}
