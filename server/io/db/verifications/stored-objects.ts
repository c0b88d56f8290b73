import { type Kysely, sql } from 'kysely'
import type { BackupId, VaultId } from '#shared/ids.ts'
import type { OwnObject, StoredObjects } from '../../../ports/verifications.ts'
import { anyOf } from '../pack-numbers.ts'
import type { Schema } from '../schema.ts'

type OwnRow = Pick<OwnObject, 'class' | 'key' | 'size' | 'etag'> & { readonly sha256: Uint8Array }

const own = async (
  db: Kysely<Schema>,
  [backup, vault]: readonly [BackupId, VaultId],
): Promise<readonly OwnObject[]> => {
  const { rows } = await sql<OwnRow>`
    select 'record' as class, record_key as key, record_size as size, record_sha256 as sha256, record_etag as etag
    from backups where id = ${backup} and record_key is not null
    union all
    select class, object_key, size, sha256, etag from vault_objects
    where vault_id = ${vault} and class in ('signer', 'key') and stored_at is not null`.execute(db)
  return rows.map((row) => ({ ...row, sha256: Buffer.from(row.sha256).toString('base64url') }))
}

const etags = async (
  db: Kysely<Schema>,
  vault: VaultId,
  nos: readonly number[],
): Promise<ReadonlyMap<string, string>> => {
  if (nos.length === 0) return new Map()
  const { rows } = await sql<{ key: string; etag: string }>`
    select object_key as key, etag from packs
    where vault_id = ${vault} and pack_no = ${anyOf(nos)} and etag is not null`.execute(db)
  return new Map(rows.map(({ key, etag }) => [key, etag]))
}

type Used = { readonly id: BackupId; readonly total: number }

/** Indexes: the primary key of pack_refs, backups_sequence. */
const users = async (
  db: Kysely<Schema>,
  vault: VaultId,
  { no, limit }: { readonly no: number | null; readonly limit: number },
): ReturnType<StoredObjects['users']> => {
  const needs =
    no === null
      ? sql`true`
      : sql`exists (select 1 from pack_refs r
          where r.vault_id = b.vault_id and r.pack_no = ${no}::bigint and r.job_id = b.job_id
            and r.from_seq <= b.sequence and (r.to_seq is null or r.to_seq > b.sequence))`
  const { rows } = await sql<Used>`
    select b.id, count(*) over ()::int as total from backups b
    where b.vault_id = ${vault} and b.sequence is not null and b.status in ('completed', 'partial')
      and b.deleted_at is null and ${needs}
    order by b.created_at desc, b.id desc limit ${limit}`.execute(db)
  return { first: rows.map(({ id }) => id), total: rows[0]?.total ?? 0 }
}

export const storedObjectsIn = (db: Kysely<Schema>): StoredObjects => ({
  own: async ({ backup, vault }) => own(db, [backup, vault]),
  etags: async (vault, nos) => etags(db, vault, nos),
  users: async (vault, no, limit) => users(db, vault, { no, limit }),
})
