/** Backups, packs and intervals of one recovered vault. */
import { sql, type Transaction } from 'kysely'
import type { BackupId, OrgId, VaultId } from '#shared/ids.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { RecoverBackup } from '#shared/protocol/recovery.ts'
import type { FoundObject, OwnFile } from '../../../ports/recovery.ts'
import type { Sealing } from '../../secrets.ts'
import { anyOf } from '../pack-numbers.ts'
import { fileKeyPurpose } from '../reading/reading.ts'
import type { Schema } from '../schema.ts'
import { createHash } from 'node:crypto'

export type Rows = {
  readonly trx: Transaction<Schema>
  readonly organization: OrgId
  readonly vault: VaultId
  readonly sealing: Sealing
}

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64url'))
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const sealedKey = (
  { sealing, vault }: Rows,
  key: string,
  fileKey: string | undefined,
): Uint8Array | null =>
  fileKey === undefined ? null : sealing.seal(fileKeyPurpose(vault, key), bytesOf(fileKey))

/** What is not there as it was signed is *lost*: told to runs, tried by readers, found by verification. */
export const putObjects = async (rows: Rows, objects: readonly FoundObject[]): Promise<void> => {
  const values = objects.map((one) => {
    const sealed = sealedKey(rows, one.key, one.file_key)
    return {
      no: one.no,
      kind: parseKey(one.key)?.kind === 'tree' ? 'tree' : 'pack',
      key: one.key,
      size: one.size,
      sha256: hex(bytesOf(one.sha256)),
      header: one.header === null ? null : hex(bytesOf(one.header)),
      file_key: sealed === null ? null : hex(sealed),
      etag: one.header === null ? null : one.etag,
    }
  })
  await sql`
    with found as (
      select * from jsonb_to_recordset(${values}::jsonb)
        as f(no bigint, kind text, key text, size bigint, sha256 text, header text, file_key text, etag text)
    )
    insert into packs (vault_id, pack_no, org_id, class, object_key, size, sha256, header, sealed_file_key, etag, state,
      stored_at, lost_at, deleted_at, condemned_at, condemned_epoch)
    select ${rows.vault}, no, ${rows.organization}, kind, key, size, decode(sha256, 'hex'), decode(header, 'hex'),
      decode(file_key, 'hex'), etag, case when etag is null then 'deleted' else 'stored' end, hf_now(),
      case when etag is null then hf_now() end, case when etag is null then hf_now() end,
      case when etag is null then hf_now() end, case when etag is null then 1 end
    from found
    on conflict (vault_id, pack_no) do update set state = excluded.state, etag = excluded.etag,
      header = coalesce(excluded.header, packs.header),
      sealed_file_key = coalesce(excluded.sealed_file_key, packs.sealed_file_key), lost_at = excluded.lost_at,
      deleted_at = excluded.deleted_at, condemned_at = excluded.condemned_at, condemned_epoch = excluded.condemned_epoch
    where packs.object_key = excluded.object_key and packs.state <> excluded.state`.execute(
    rows.trx,
  )
}

export const putOwn = async (
  { trx, organization, vault }: Rows,
  files: readonly (OwnFile & { readonly header: Uint8Array | null })[],
): Promise<void> => {
  for (const { kind, no, key, bytes, etag, header } of files)
    await trx
      .insertInto('vault_objects')
      .values({
        vault_id: vault,
        object_key: key,
        org_id: organization,
        class: kind,
        no,
        size: bytes.length,
        sha256: createHash('sha256').update(bytes).digest(),
        header,
        etag,
        granted_by: null,
        stored_at: sql<Date>`hf_now()`,
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
}

const sizesOf = async ({ trx, vault }: Rows, nos: readonly number[]): Promise<void> => {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from packs where vault_id = ${vault} and pack_no = ${anyOf(nos)}`.execute(
    trx,
  )
  if (rows[0]?.count !== nos.length) throw new RangeError('objects come before their backup')
}

/** Live bytes are not in the bucket: the object's own size stands for them until the next backup says better. */
const putIntervals = async (
  rows: Rows,
  { job, sequence, added, removed }: RecoverBackup,
): Promise<void> => {
  const { trx, vault, organization } = rows
  await sizesOf(rows, added)
  await sql`
    update pack_refs set to_seq = ${sequence}
    where vault_id = ${vault} and job_id = ${job}::uuid and to_seq is null and pack_no = ${anyOf(removed)}`.execute(
    trx,
  )
  await sql`
    insert into pack_refs (vault_id, pack_no, job_id, from_seq, live_bytes, org_id)
    select vault_id, pack_no, ${job}::uuid, ${sequence}::bigint, size, ${organization} from packs
    where vault_id = ${vault} and pack_no = ${anyOf(added)}`.execute(trx)
}

/** A job's intervals are made anew, from its first backup on. */
export const clearIntervals = async ({ trx, vault }: Rows, job: string): Promise<void> => {
  await sql`delete from pack_refs where vault_id = ${vault} and job_id = ${job}::uuid`.execute(trx)
}

const insertBackup = async (
  rows: Rows,
  backup: RecoverBackup,
  [server, etag]: readonly [string, string],
): Promise<boolean> => {
  const { trx, organization, vault } = rows
  const { counts, bytes } = backup
  const status = backup.error_count > 0 ? 'partial' : 'completed'
  const at = (ms: number) => sql`to_timestamp(${ms}::float8 / 1000)`
  const made = await sql`
    insert into backups (id, org_id, job_id, job_version, server_id, vault_id, name, status, trigger, triggered_by,
      sequence, record_key, record_size, record_sha256, record_header, record_etag, record_sealed_file_key, counts,
      error_count, bytes_source, bytes_new, bytes_stored, created_at, started_at, completed_at)
    values (${backup.backup}::uuid, ${organization}, ${backup.job}::uuid, 1, ${server}::uuid, ${vault},
      'Recovered backup', ${status}, 'manual', ${{ name: 'recovery' }}::jsonb, ${backup.sequence}::bigint,
      ${backup.key}, ${backup.size}::bigint, ${bytesOf(backup.sha256)}, ${bytesOf(backup.header)}, ${etag},
      ${sealedKey(rows, backup.key, backup.file_key)},
      ${{ ...counts, errors: backup.error_count }}::jsonb, ${backup.error_count}::bigint, ${bytes.source}::bigint,
      ${bytes.new}::bigint, ${bytes.stored}::bigint, ${at(backup.started)}, ${at(backup.started)}, ${at(backup.completed)})
    on conflict (id) do nothing returning id`.execute(trx)
  if (made.rows.length > 0) return true
  const known = await trx
    .selectFrom('backups')
    .select('id')
    .where('id', '=', backup.backup as BackupId)
    .where('vault_id', '=', vault)
    .where('record_key', '=', backup.key)
    .executeTakeFirst()
  return known !== undefined
}

/** `false` where a backup of another vault has its id. */
export const putBackup = async (
  rows: Rows,
  backup: RecoverBackup,
  from: readonly [server: string, etag: string],
): Promise<boolean> => {
  const { trx, organization, vault } = rows
  if (!(await insertBackup(rows, backup, from))) return false
  await putIntervals(rows, backup)
  await sql`
    insert into vault_objects (vault_id, object_key, org_id, class, no, size, sha256, header, etag, granted_by, stored_at)
    values (${vault}, ${backup.key}, ${organization}, 'record', ${backup.sequence}::bigint, ${backup.size}::bigint,
      ${bytesOf(backup.sha256)}, ${bytesOf(backup.header)}, ${from[1]}, ${backup.backup}::uuid, hf_now())
    on conflict do nothing`.execute(trx)
  await sql`
    insert into job_heads (vault_id, job_id, org_id, sequence, backup_id, record_sha256)
    values (${vault}, ${backup.job}::uuid, ${organization}, ${backup.sequence}::bigint, ${backup.backup}::uuid,
      ${bytesOf(backup.sha256)})
    on conflict (vault_id, job_id) do update set sequence = excluded.sequence, backup_id = excluded.backup_id,
      record_sha256 = excluded.record_sha256, updated_at = hf_now()
    where job_heads.sequence < excluded.sequence`.execute(trx)
  return true
}
