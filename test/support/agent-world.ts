/** An organization with a server, a storage, a key and jobs, on a database of its own; and the parts that serve agents. */
import { createHash } from 'node:crypto'
import type { Database } from '#server/io/db/open.ts'
import { credentialsPurpose } from '#server/io/db/credentials.ts'
import type { AgentParts, Timing } from '#server/flow/agent-parts.ts'
import { agentPortsOn } from '#server/io/agent-ports.ts'
import { systemClock } from '#server/io/clock.ts'
import { systemRandom } from '#server/io/random.ts'
import { type Sealing, sealing } from '#server/io/secrets.ts'
import {
  type Identity,
  makeIdentity,
  makeSigningKey,
  type SigningKey,
} from '#shared/format/keys.ts'
import {
  type BackupId,
  type Id,
  type JobId,
  type KeyId,
  makeId,
  type OrgId,
  type ServerId,
  type StorageId,
} from '#shared/ids.ts'
import { secret } from '#shared/secret.ts'
import { DAY, SECOND } from '#shared/units.ts'
import { sql } from 'kysely'
import { memoryLog } from './log.ts'
import { ACCESS_KEY, REGION, SECRET } from './s3-server.ts'

export const id = <Kind extends string>(): Id<Kind> => makeId<Kind>(Date.now(), systemRandom(10))

export const TEST_TIMING: Timing = {
  heartbeat: SECOND,
  lease: 45 * SECOND,
  longestRun: DAY,
  longestPause: 2 * DAY,
}

export type World = {
  readonly database: Database
  readonly sealed: Sealing
  readonly organization: OrgId
  readonly organizationKey: SigningKey
  readonly storage: StorageId
  readonly key: KeyId
  readonly content: Identity
  readonly recovery: Identity
  addServer(): Promise<ServerId>
  addToken(server: ServerId, seconds?: number): Promise<string>
  addJob(server: ServerId): Promise<JobId>
  addBackup(job: JobId, server: ServerId): Promise<BackupId>
}

export const hashOf = (token: string): Uint8Array =>
  new Uint8Array(createHash('sha256').update(token).digest())

const sources = [{ type: 'files', paths: ['/data'] }]

/** `endpoint`: an S3 server that has the bucket `vaults`. Without one, what reaches for the storage fails. */
export const makeWorld = async (
  database: Database,
  endpoint = 'http://127.0.0.1:9',
): Promise<World> => {
  const { db } = database
  const sealed = sealing(secret(systemRandom(32)), systemRandom)
  const organization = id<'organization'>()
  const storage = id<'storage'>()
  const key = id<'encryption key'>()
  const content = makeIdentity(systemRandom(32))
  const recovery = makeIdentity(systemRandom(32))
  const organizationKey = makeSigningKey(systemRandom(32))
  await db
    .insertInto('organizations')
    .values({
      id: organization,
      name: 'test',
      recovery_recipient: recovery.recipient.text,
      signing_public_key: organizationKey.publicKey,
    })
    .execute()
  await db
    .insertInto('storages')
    .values({
      id: storage,
      org_id: organization,
      name: 'bucket',
      provider: 'test',
      endpoint,
      region: REGION,
      bucket: 'vaults',
      prefix: 'some/prefix',
      sealed_credentials: sealed.seal(
        credentialsPurpose(storage),
        Buffer.from(JSON.stringify({ access_key_id: ACCESS_KEY, secret_access_key: SECRET })),
      ),
    })
    .execute()
  await db
    .insertInto('encryption_keys')
    .values({
      id: key,
      org_id: organization,
      name: 'key',
      type: 'customer',
      recipient: content.recipient.text,
    })
    .execute()

  const addServer = async (): Promise<ServerId> => {
    const server = id<'server'>()
    await db
      .insertInto('servers')
      .values({ id: server, org_id: organization, name: `server ${server}`, type: 'agent' })
      .execute()
    return server
  }

  const addToken = async (server: ServerId, seconds = 3600): Promise<string> => {
    const token = `hfe_${Buffer.from(systemRandom(32)).toString('base64url')}`
    await db
      .insertInto('enrollment_tokens')
      .values({
        id: id<'enrollment token'>(),
        org_id: organization,
        server_id: server,
        hash: hashOf(token),
        vaults: sql`${[{ storage_id: storage, encryption_key_id: key }]}::jsonb`,
        expires_at: sql<Date>`hf_now() + ${seconds} * interval '1 second'`,
      })
      .execute()
    return token
  }

  const addJob = async (server: ServerId): Promise<JobId> => {
    const job = id<'job'>()
    await db.transaction().execute(async (trx) => {
      await trx
        .insertInto('jobs')
        .values({
          id: job,
          org_id: organization,
          server_id: server,
          storage_id: storage,
          encryption_key_id: key,
          name: `job ${job}`,
        })
        .execute()
      await trx
        .insertInto('job_versions')
        .values({
          job_id: job,
          version: 1,
          org_id: organization,
          name: `job ${job}`,
          storage_id: storage,
          encryption_key_id: key,
          sources: sql`${sources}::jsonb`,
        })
        .execute()
    })
    return job
  }

  const addBackup = async (job: JobId, server: ServerId): Promise<BackupId> => {
    const backup = id<'backup'>()
    await sql`
      with added as (
        insert into backups (id, org_id, job_id, job_version, server_id, name, trigger)
        values (${backup}, ${organization}, ${job}, 1, ${server}, 'Manual backup', 'manual')
      )
      select pg_notify('hf_backups', ${server}::text)`.execute(db)
    return backup
  }

  return {
    database,
    sealed,
    organization,
    organizationKey,
    storage,
    key,
    content,
    recovery,
    addServer,
    addToken,
    addJob,
    addBackup,
  }
}

/** The parts as main.ts wires them, with a log that keeps its lines. `close` lets go of the storage. */
export const agentPartsIn = (
  world: World,
  timing: Timing = TEST_TIMING,
): AgentParts & { readonly log: ReturnType<typeof memoryLog>; close(): void } => {
  const log = memoryLog()
  const { database, sealed } = world
  const ports = agentPortsOn({ database, sealing: sealed })
  return {
    ...ports,
    clock: systemClock,
    random: systemRandom,
    log,
    timing,
    close: () => ports.stores.close(),
  }
}
