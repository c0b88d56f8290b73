/** Vaults of `vault-writer.ts` as a control plane has them: objects in a storage, rows in the catalog. */
import { randomBytes } from 'node:crypto'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import type { BackupId, OrgId, StorageId } from '#shared/ids.ts'
import type { Clock } from '#shared/world.ts'
import { startTestApp, type TestApp } from './http-app.ts'
import { testDatabase, type TestDatabase } from './database-template.ts'
import { ACCESS_KEY, REGION, SECRET, startS3, type TestS3 } from './s3-server.ts'
import { seeded } from './seeded.ts'
import {
  createVaultWriter,
  type VaultWriter,
  type WriterOptions,
  type WrittenBackup,
} from './vault-writer.ts'
import {
  insertBackup,
  insertObjects,
  insertOwners,
  type KnownRows,
  type VaultIds,
} from './vault-rows.ts'
import type { TestEntry } from './vault-tree.ts'

export type ReadingWorld = {
  readonly s3: TestS3
  readonly database: TestDatabase
  readonly api: TestApp
  readonly organization: OrgId
  readonly storage: StorageId
  close(): Promise<void>
}

const BUCKET = 'vaults'

/** A control plane's API with a storage that is there, and nothing in it. */
export const readingWorld = async (
  options: { readonly readinessClock?: Clock } = {},
): Promise<ReadingWorld> => {
  const s3 = await startS3()
  await s3.client().send(new CreateBucketCommand({ Bucket: BUCKET }))
  const database = await testDatabase()
  const api = await startTestApp(
    { database },
    {
      ...options,
      storage: {
        name: 'there',
        provider: 'other',
        endpoint: s3.endpoint,
        region: REGION,
        bucket: BUCKET,
        prefix: 'pre/fix',
        access_key_id: ACCESS_KEY,
        secret_access_key: SECRET,
      },
    },
  )
  const { db } = database
  const { id: organization } = await db
    .selectFrom('organizations')
    .select('id')
    .executeTakeFirstOrThrow()
  const { id: storage } = await db.selectFrom('storages').select('id').executeTakeFirstOrThrow()
  return {
    s3,
    database,
    api,
    organization,
    storage,
    close: async () => {
      await api.app.close()
      await database.close()
      await s3.close()
    },
  }
}

export type StoredVault = VaultIds & {
  readonly writer: VaultWriter
  /** Writes a backup, puts what is new into the storage, and commits it. */
  backup(entries: readonly TestEntry[]): Promise<{ id: BackupId; written: WrittenBackup }>
  /** Replaces or removes an object of the storage. */
  spoil(key: string, change: ((bytes: Uint8Array) => Uint8Array) | null): Promise<void>
  /** The objects as they were put again. */
  heal(key: string): Promise<void>
}

const stop = new AbortController().signal

export type StoreOptions = Omit<WriterOptions, 'random'> & {
  readonly key?: 'managed' | 'customer'
}

/** A vault with its server, key and job; as yet without backups. */
export const storeVault = async (
  world: ReadingWorld,
  { key = 'managed', ...options }: StoreOptions = {},
): Promise<StoredVault> => {
  const random = seeded(`stored vault ${randomBytes(8).toString('hex')}`).bytes
  const writer = createVaultWriter({ random, ...options })
  const { organization } = world
  const ids = await insertOwners({ ...world, sealing: world.api.sealing }, writer, key)
  const store = await world.api.stores.open(world.storage)
  const known: KnownRows = { packs: new Set(), keys: new Set() }
  const put = new Set<string>()
  const etags = new Map<string, string>()
  let sequence = 0
  return {
    writer,
    ...ids,
    backup: async (entries) => {
      const written = writer.backup(entries)
      sequence += 1
      for (const [name, bytes] of writer.objects) {
        if (put.has(name)) continue
        put.add(name)
        const done = await store.put(name, bytes, { ifAbsent: false }, stop)
        if (done !== 'exists') etags.set(name, done.etag)
      }
      const id = await insertBackup(
        world.database,
        { organization, writer, ids },
        { written, sequence, etags },
      )
      await insertObjects(
        world.database,
        { organization, writer, ids, known },
        { written, backup: id, sequence, etags },
      )
      return { id, written }
    },
    spoil: async (name, change) => {
      if (change === null) return store.remove([name], stop)
      const changed = change(Uint8Array.from(writer.objects.get(name)!))
      await store.put(name, changed, { ifAbsent: false }, stop)
    },
    heal: async (name) => {
      await store.put(name, writer.objects.get(name)!, { ifAbsent: false }, stop)
    },
  }
}
