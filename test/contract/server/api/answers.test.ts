/** Every operation does what it is for, once; that its answer is the one that the document has is checked by the app under test. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileId } from '#shared/api/file-ids.ts'
import { proveKit } from '#shared/format/recovery-kit.ts'
import { goodBody, type Ids } from '../../../support/api-bodies.ts'
import type { Route } from '../../../support/api-document.ts'
import { kindOf, nameOfRoute, shortOf, type Walk, type Wish } from '../../../support/api-walk.ts'
import { approvalOf } from '../../../support/approving.ts'
import { dataOf } from '../../../support/answers.ts'
import { added, addJob, addProject, addServer, newId } from '../../../support/http-objects.ts'
import { type PopulatedWorld, populatedWorld, storageAt } from '../../../support/populated-world.ts'
import { file } from '../../../support/vault-place.ts'
import { settledVerification, verifyByHand } from '../../../support/verifying.ts'

let world: PopulatedWorld
let walk: Walk

beforeAll(async () => {
  world = await populatedWorld()
  walk = world.walk
})
afterAll(async () => world.close())

type Make = () => Promise<string>

const jobOf = async (name: string): Promise<string> => (await addJob(world.api, name)).job

/** New ones, of which nothing depends on anything. */
const fresh: Readonly<Record<string, Make>> = {
  projects: async () => addProject(world.api, newId()),
  servers: async () => addServer(world.api, newId()),
  storages: async () => added(world.api, '/v1/storages', storageAt(world, newId())),
  'encryption-keys': async () =>
    added(world.api, '/v1/encryption-keys', { name: newId(), type: 'managed' }),
  tokens: async () => added(world.api, '/v1/tokens', { name: newId(), scopes: ['read'] }),
  jobs: async () => jobOf(newId()),
  backups: async () => (await world.open.backup([file('/deleted', 'x')])).id,
  downloads: async () => Promise.resolve(walk.ids['downloads'] ?? ''),
}

const startedBackup = async (): Promise<string> => {
  const answer = await world.api.call('POST', `/v1/jobs/${await jobOf(newId())}/backups`)
  return String(dataOf(answer)['id'])
}

/** What a good body or a path with the ids of all is not enough for. */
const WISHES: Readonly<Record<string, () => Promise<Wish>>> = {
  confirmOrganizationRecovery: async () =>
    Promise.resolve({ body: proveKit(world.api.kit, Date.now()) }),
  createStorage: async () => Promise.resolve({ body: storageAt(world, 'new') }),
  approveOpenRequest: async () => {
    const id = walk.ids['open-requests'] ?? ''
    return { body: await approvalOf(world.api, id, world.locked.writer.identity) }
  },
  revokeServer: async () => ({ ids: { servers: await addServer(world.api, newId()) } }),
  // A job that is backed up cannot be restored onto its own server.
  createJobBackup: async () => ({ ids: { jobs: await jobOf(newId()) } }),
  pauseBackup: async () => ({ ids: { backups: await startedBackup() } }),
  resumeBackup: async () => ({ ids: { backups: await startedBackup() } }),
  cancelBackup: async () => ({ ids: { backups: await startedBackup() } }),
  verifyBackup: async () => ({
    ids: { backups: (await world.open.backup([file('/checked', 'x')])).id },
  }),
  // Nobody works on it, so it does not end by itself.
  cancelVerification: async () => {
    const { id } = await world.open.backup([file('/canceled', 'x')])
    return { ids: { verifications: (await verifyByHand(world, id, 'full')).id } }
  },
  getBackupFile: async () => Promise.resolve({ ids: { file_id: fileId('/d/one') } }),
}

const wishOf = async (route: Route): Promise<Wish> => {
  const make = fresh[kindOf(route)]
  if (route.method !== 'DELETE') return (await WISHES[route.operation.operationId]?.()) ?? {}
  return make === undefined ? {} : { ids: { [kindOf(route)]: await make() } }
}

/** What goes on ends before it is followed to its end, and nothing is removed before it was looked at. */
const ORDER = ['POST', 'PUT', 'PATCH', 'GET', 'DELETE']

const inOrder = (): readonly Route[] =>
  walk.routes.toSorted((a, b) => ORDER.indexOf(a.method) - ORDER.indexOf(b.method))

const goodStatuses = ({ operation }: Route): readonly string[] =>
  Object.keys(operation.responses).filter((status) => status.startsWith('2'))

describe('every operation', () => {
  test('does what it is for, with an answer that it documents', async () => {
    const wrong: string[] = []
    await settledVerification(world, walk.ids['verifications'] ?? '')
    for (const route of inOrder()) {
      const answer = await walk.ask(route, await wishOf(route))
      if (!goodStatuses(route).includes(String(answer.status)))
        wrong.push(`${nameOfRoute(route)}: ${shortOf(answer)}`)
    }
    expect(wrong).toEqual([])
    expect(walk.routes.length).toBeGreaterThan(60)
  })

  test('that needs a body has a good one here', () => {
    const ids: Ids = walk.ids
    const missing = walk.routes.filter(
      ({ operation }) =>
        operation.requestBody?.required === true &&
        Object.keys(goodBody(operation.operationId, ids)).length === 0,
    )
    expect(missing.map(nameOfRoute)).toEqual([])
  })
})
