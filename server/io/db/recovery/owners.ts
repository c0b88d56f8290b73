/** Whom a recovered vault belongs to: the bucket has no rows of servers, keys and jobs, only what records say of them. */
import { sql, type Transaction } from 'kysely'
import type { Id, JobId, KeyId, OrgId, ServerId, StorageId, VaultId } from '#shared/ids.ts'
import { FilesSource } from '#shared/protocol/orders.ts'
import type { RecoverBackup } from '#shared/protocol/recovery.ts'
import { parser } from '#shared/schema.ts'
import type { Schema } from '../schema.ts'

export type Owner = { readonly server: ServerId; readonly key: KeyId }

export type Making = {
  readonly trx: Transaction<Schema>
  readonly organization: OrgId
  readonly makeId: <Kind extends string>() => Id<Kind>
}

const tail = (id: string): string => id.slice(-8)

/** One agent key is one machine. It is enrolled again before it works: its box key is known to nobody. */
export const serverOf = async (
  { trx, organization, makeId }: Making,
  agentKey: Uint8Array,
): Promise<ServerId> => {
  const { rows } = await sql<{ server_id: ServerId }>`
    select server_id from vaults where org_id = ${organization} and agent_key = ${agentKey} limit 1`.execute(
    trx,
  )
  const [known] = rows
  if (known !== undefined) return known.server_id
  const id = makeId<'server'>()
  await trx
    .insertInto('servers')
    .values({ id, org_id: organization, name: `recovered ${tail(id)}`, type: 'agent' })
    .execute()
  return id
}

/** The secret half of a managed key is lost with the catalog: for the control plane every key is a customer's now. */
export const keyOf = async (
  { trx, organization, makeId }: Making,
  recipient: string,
): Promise<KeyId> => {
  const known = await trx
    .selectFrom('encryption_keys')
    .select('id')
    .where('org_id', '=', organization)
    .where('recipient', '=', recipient)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  if (known !== undefined) return known.id
  const id = makeId<'encryption key'>()
  const name = `recovered ${tail(recipient)}`
  await trx
    .insertInto('encryption_keys')
    .values({ id, org_id: organization, name, type: 'customer', recipient })
    .execute()
  return id
}

/** The name that the machine gave itself, where it still has the one made up here and nobody else has that. */
export const nameServer = async (
  { trx, organization }: Making,
  server: ServerId,
  hostname: string,
): Promise<void> => {
  if (hostname.trim() === '') return
  await sql`
    update servers s set name = ${hostname.slice(0, 200)}, updated_at = hf_now()
    where s.id = ${server} and s.name like 'recovered %' and not exists (
      select 1 from servers o where o.org_id = ${organization} and o.name = ${hostname.slice(0, 200)} and o.deleted_at is null)`.execute(
    trx,
  )
}

const parseSource = parser(FilesSource)

const sourcesIn = (sources: readonly unknown[]): readonly FilesSource[] =>
  sources.flatMap((source) => {
    const parsed = parseSource(source)
    return 'ok' in parsed ? [parsed.ok] : []
  })

export type JobOf = Owner & { readonly storage: StorageId; readonly vault: VaultId }

/** With the sources of this backup: the last call is about the newest. */
export const putJob = async (
  { trx, organization }: Making,
  { server, key, storage }: JobOf,
  { job, hostname, sources }: Pick<RecoverBackup, 'job' | 'hostname' | 'sources'>,
): Promise<void> => {
  const id = job as JobId
  const files = sourcesIn(sources)
  const paths = files.flatMap((source) => source.paths)
  const name = `${hostname} ${paths.join(' ')}`.slice(0, 150).trim()
  const about = {
    org_id: organization,
    name: `${name} (${tail(job)})`,
    storage_id: storage,
    encryption_key_id: key,
  }
  const made = await trx
    .insertInto('jobs')
    .values({ id, server_id: server, ...about })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst()
  const value = sql`${files.map((source) => ({ ...source }))}::jsonb`
  if (made !== undefined) {
    await sql`
      insert into job_versions (job_id, version, org_id, name, storage_id, encryption_key_id, sources)
      values (${id}, 1, ${organization}, ${about.name}, ${storage}, ${key}, ${value})`.execute(trx)
    return
  }
  await sql`
    update job_versions v set sources = ${value} from jobs j
    where v.job_id = ${id} and v.version = 1 and j.id = v.job_id and j.version = 1 and j.server_id = ${server}
      and j.storage_id = ${storage} and j.encryption_key_id = ${key}`.execute(trx)
}
