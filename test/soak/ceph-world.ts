/** A control plane by `serve` on Debian's PostgreSQL, with a storage on a real Ceph: directly, and through a recorder. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { CreateBucketCommand, PutPublicAccessBlockCommand, S3Client } from '@aws-sdk/client-s3'
import { systemClock } from '#server/io/clock.ts'
import { openS3Store, type S3Store } from '#server/io/s3/store.ts'
import { CEPH_PACKAGES, type Ceph, FAKETIME_PACKAGE, startCeph } from '../support/ceph.ts'
import {
  type DebianDatabase,
  POSTGRES_PACKAGE,
  startDebianDatabase,
} from '../support/debian-postgres.ts'
import { installMissing } from '../support/debian-packages.ts'
import { type Instance, startInstance } from '../support/instance.ts'
import { type Recorder, startRecorder } from '../support/recorder.ts'

export const BUCKET = 'vaults'
export const REGION = 'us-east-1'

export type CephWorld = {
  readonly folder: string
  readonly ceph: Ceph
  readonly database: DebianDatabase
  readonly instance: Instance
  readonly plane: Recorder
  readonly storage: Recorder
  /** Adds a storage row of its own prefix; `recorded`: behind the recorder. Answers its id. */
  addStorage(prefix: string, recorded: boolean): Promise<string>
  /** The same place, past everything, with the keys of the storage. */
  storeAt(prefix: string): S3Store
  close(): Promise<void>
}

const makeBucket = async ({ endpoint, keys: credentials }: Ceph): Promise<void> => {
  const client = new S3Client({ endpoint, region: REGION, forcePathStyle: true, credentials })
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }))
  // As the probe advises: Ceph 16 acts on ACLs that nobody signed. (BlockPublicAcls would refuse every PUT.)
  const PublicAccessBlockConfiguration = { IgnorePublicAcls: true }
  await client.send(
    new PutPublicAccessBlockCommand({ Bucket: BUCKET, PublicAccessBlockConfiguration }),
  )
  client.destroy()
}

export const startCephWorld = async (
  folder: string,
  say: (text: string) => void,
): Promise<CephWorld> => {
  await installMissing([...CEPH_PACKAGES, FAKETIME_PACKAGE, POSTGRES_PACKAGE], say)
  await using started = new AsyncDisposableStack()
  const ceph = started.adopt(await startCeph(folder), async (one) => one.close())
  await makeBucket(ceph)
  const database = started.adopt(await startDebianDatabase(), async (one) => one.close())
  const home = join(folder, 'instance')
  mkdirSync(home)
  const instance = started.adopt(
    await startInstance(home, { databaseUrl: database.url }),
    async (one) => one.close(),
  )
  const record = async (url: string): Promise<Recorder> =>
    started.adopt(await startRecorder(url), async (one) => one.close())
  const plane = await record(instance.url)
  const storage = await record(ceph.endpoint)
  const stores: S3Store[] = []
  started.defer(() => stores.forEach((store) => store.close()))
  const owned = started.move()
  const place = { region: REGION, bucket: BUCKET }
  return {
    folder,
    ceph,
    database,
    instance,
    plane,
    storage,
    addStorage: async (prefix, recorded) => {
      const added = await instance.call('POST', '/v1/storages', {
        ...place,
        name: prefix,
        provider: 'ceph',
        endpoint: recorded ? storage.url : ceph.endpoint,
        prefix,
        access_key_id: ceph.keys.accessKeyId,
        secret_access_key: ceph.keys.secretAccessKey,
      })
      return (added['data'] as { id: string }).id
    },
    storeAt: (prefix) => {
      const { endpoint, keys: credentials } = ceph
      const settings = { ...place, name: prefix, endpoint, prefix, pathStyle: true, credentials }
      const store = openS3Store(settings, true, systemClock)
      stores.push(store)
      return store
    },
    close: async () => owned.disposeAsync(),
  }
}
