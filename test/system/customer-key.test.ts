import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { startPostgres } from '#server/io/embedded/postgres/start.ts'
import { openHeader } from '#shared/format/age.ts'
import { makeIdentity } from '#shared/format/keys.ts'
import { deriveKeys } from '#shared/format/vault-secret.ts'
import { reveal } from '#shared/secret.ts'
import { MiB } from '#shared/units.ts'
import { parseMasterKey } from '#server/io/secrets.ts'
import { searchFolder } from '../support/agent-search.ts'
import { type Hit, type Search, searchFor } from '../support/byte-search.ts'
import { agentSecrets } from '../support/canaries.ts'
import { dumpDatabase } from '../support/database-dump.ts'
import { hasDebianPostgres, startDebianDatabase } from '../support/debian-postgres.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { memoryLog } from '../support/log.ts'
import { type Needle, needlesOfBytes, needlesOfKey, needlesOfText } from '../support/needles.ts'
import { canSearchProcesses, familyOf, searchProcess } from '../support/process-search.ts'
import { approveOpening, endOfRestore, startRestore } from '../support/instance-restores.ts'
import { ACCESS_KEY, REGION, SECRET, sdkClient, spawnS3 } from '../support/s3-server.ts'
import { sameTree } from '../support/same-tree.ts'

const masterKey = randomBytes(32).toString('base64url')
const env = { HOLDFAST_MASTER_KEY: masterKey, HOLDFAST_PORT: '0', HOLDFAST_S3_PORT: '0' }

type Setup = {
  readonly instance: Instance
  /** The one to write to; left out: the one that comes with `up`. */
  readonly storage?: string
  /** All that the database holds, as text. */
  dump(): Promise<string>
  close(): Promise<void>
}

type Data = Record<string, unknown>
const dataOf = (answer: Data): Data => answer['data'] as Data

const startUp = async (folder: string): Promise<Setup> => {
  const instance = await startInstance(folder, { env })
  const postgres = await startPostgres(
    { folder: join(instance.data, 'postgres'), log: memoryLog(), clock: systemClock },
    new AbortController().signal,
  )
  return {
    instance,
    dump: async () => dumpDatabase(postgres.connect),
    close: async () => {
      await instance.close()
      await postgres.close()
    },
  }
}

const startServed = async (folder: string): Promise<Setup> => {
  const database = await startDebianDatabase()
  const instance = await startInstance(folder, { env, databaseUrl: database.url })
  const s3 = await spawnS3(join(folder, 's3'))
  await sdkClient(s3.port).send(new CreateBucketCommand({ Bucket: 'vaults' }))
  const added = await instance.call('POST', '/v1/storages', {
    name: 'elsewhere',
    provider: 'other',
    endpoint: `http://127.0.0.1:${s3.port}`,
    region: REGION,
    bucket: 'vaults',
    access_key_id: ACCESS_KEY,
    secret_access_key: SECRET,
  })
  return {
    instance,
    storage: String(dataOf(added)['id']),
    dump: async () => database.dump(),
    close: async () => {
      await instance.close()
      await s3.kill()
      await database.close()
    },
  }
}

const SETUPS = [
  { name: 'up', start: startUp, missing: canSearchProcesses ? '' : '/proc' },
  {
    name: 'serve, Debian’s PostgreSQL 15',
    start: startServed,
    missing: canSearchProcesses && hasDebianPostgres ? '' : '/proc, postgresql-15',
  },
]

const distinct = (hits: readonly Hit[], field: 'secret' | 'where'): string[] => [
  ...new Set(hits.map((hit) => hit[field])),
]

for (const { name, start, missing } of SETUPS)
  describe.skipIf(missing !== '')(
    `with a customer’s key, the control plane (${name})${missing === '' ? '' : ` (needs ${missing})`}`,
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'hf-customer-'))
      const source = join(folder, 'source')
      /** Contents of a small file and of a piece of a large one, and a name that the control plane may know. */
      const small = `the content ${randomBytes(24).toString('base64url')}`
      const large = randomBytes(48)
      const fileName = `a name ${randomBytes(24).toString('base64url')}`
      const customer = makeIdentity(randomBytes(32))
      let setup: Setup
      let agent: Protected
      let needles: Needle[]
      let search: Search
      let known: Search
      let backup: string

      beforeAll(async () => {
        mkdirSync(source)
        writeFileSync(join(source, fileName), `${small}\n`)
        const bytes = randomBytes(3 * MiB)
        bytes.set(large, 1_000_000)
        writeFileSync(join(source, 'large'), bytes)
        setup = await start(folder)
        const { instance, storage } = setup
        const key = await instance.call('POST', '/v1/encryption-keys', {
          name: 'customer',
          type: 'customer',
          recipient: customer.recipient.text,
        })
        agent = await instance.protect('elsewhere', [source], {
          key: String(dataOf(key)['id']),
          ...(storage === undefined ? {} : { storage }),
        })
        const done = await instance.backup(agent.jobId)
        expect(done['status']).toBe('completed')
        backup = String(done['id'])
        const [vault = ''] = readdirSync(join(agent.state, 'vaults'))
        const secret = agentSecrets(agent.state, [vault]).vaults.get(vault)!
        const keys = deriveKeys(secret)
        needles = [
          ...needlesOfKey('vault secret', secret),
          ...needlesOfKey('id key', keys.idKey),
          ...needlesOfKey('chunker key', keys.chunkerKey),
          ...needlesOfKey('segment key', keys.segmentKey),
          ...needlesOfKey('customer identity', customer.secretKey),
          ...needlesOfText('customer identity', customer.text),
          ...needlesOfText('content of a small file', small),
          ...needlesOfKey('content of a large file', large),
        ]
        search = searchFor(needles)
        known = searchFor([
          ...needlesOfText('file name', fileName),
          ...needlesOfText('address of the job', agent.jobId),
          ...needlesOfText('token', setup.instance.token),
          ...needlesOfKey('master key', reveal(parseMasterKey(masterKey, 'test'))),
        ])
      })
      afterAll(async () => {
        await setup.close()
        rmSync(folder, { recursive: true, force: true })
      })

      test('browses names', async () => {
        const query = `path=${encodeURIComponent(source)}`
        const listed = await setup.instance.call('GET', `/v1/backups/${backup}/files?${query}`)
        const files = listed['data'] as { name: string }[]
        expect(files.map((file) => file.name).sort()).toEqual([fileName, 'large'].sort())
      })

      test('lets an agent restore what the holder of the key opens for it', async () => {
        const { instance } = setup
        const target = join(folder, 'restored')
        const wish = { backup, server: agent.serverId, target }
        const restore = await startRestore(instance, wish)
        const packs = await approveOpening(instance, restore.open_request_id!, customer)
        expect(await endOfRestore(instance, restore.id)).toMatchObject({ status: 'completed' })
        expect(sameTree(source, join(target, source))).toEqual([])
        const fileKeys = packs
          .filter(({ key }) => key.includes('/packs/'))
          .map(({ header }) => openHeader(Buffer.from(header, 'base64url'), [customer]))
        expect(fileKeys.length).toBeGreaterThan(0)
        needles.push(...fileKeys.flatMap((key) => needlesOfBytes('file key of a pack', key)))
        search = searchFor(needles)
      })

      test('holds neither vault secret nor content: in the memory of its processes', () => {
        const family = familyOf(setup.instance.controlPlane.pid!)
        const knows = new Map<number, string[]>()
        for (const pid of family.keys()) {
          expect(searchProcess(search, pid).hits).toEqual([])
          knows.set(pid, distinct(searchProcess(known, pid).hits, 'secret'))
        }
        // What it does know is found by the same search.
        const own = knows.get(setup.instance.controlPlane.pid!)
        expect(own?.sort()).toEqual(['address of the job', 'file name', 'master key', 'token'])
        const servers = [...family].filter(([, command]) => command.startsWith('postgres:'))
        expect(servers.length > 0).toBe(name === 'up')
        const knowing = servers.filter(([pid]) => knows.get(pid)!.includes('address of the job'))
        expect(knowing.length > 0).toBe(name === 'up')
      })

      test('holds neither vault secret nor content: in its database', async () => {
        const text = await setup.dump()
        expect(search.bytes('the database', Buffer.from(text))).toEqual([])
        const found = known.bytes('the database', Buffer.from(text))
        expect(distinct(found, 'secret')).toEqual(['address of the job'])
      })

      test('holds neither vault secret nor content: in its files', () => {
        const { data } = setup.instance
        expect(searchFolder(search, data)).toEqual([])
        const found = searchFolder(known, data).filter(({ secret }) => secret === 'token')
        expect(distinct(found, 'where')).toEqual([join(data, 'token')])
      })

      test('is not the one that holds them: agent and source are', () => {
        const state = searchFolder(search, agent.state)
        expect(distinct(state, 'secret')).toEqual(['vault secret'])
        const there = searchFolder(search, source)
        expect(distinct(there, 'secret').sort()).toEqual([
          'content of a large file',
          'content of a small file',
        ])
      })
    },
  )
