import { type Kysely, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import { parseUtf8 } from '#shared/format/bytes.ts'
import { type Identity, parseIdentity } from '#shared/format/keys.ts'
import type { BackupId, VaultId } from '#shared/ids.ts'
import type {
  Asker,
  CommittedBackup,
  PackObject,
  Reading,
  SecretObject,
  StoredRow,
  VaultIdentities,
} from '../../../ports/reading.ts'
import type { Sealing } from '../../secrets.ts'
import { identityPurpose } from '../encryption-keys.ts'
import { anyOf } from '../pack-numbers.ts'
import type { Schema } from '../schema.ts'
import { listIdentityPurpose } from '../vaults/sealing.ts'

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')

type On = { readonly db: Kysely<Schema>; readonly sealing: Sealing }

/** What a file key is sealed for that was kept of an older list recipient. */
export const fileKeyPurpose = (vault: string, key: string): string =>
  `vaults/${vault}/file_key/${key}`

const keptKey = (
  sealing: Sealing,
  [vault, key]: readonly [string, string],
  sealed: Uint8Array | null,
): { readonly fileKey?: Uint8Array } =>
  sealed === null ? {} : { fileKey: sealing.open(fileKeyPurpose(vault, key), sealed) }

/** The files of a chain after the genesis. */
const laterOf = (signers: readonly { readonly bytes: string }[] | null): readonly Uint8Array[] =>
  (signers ?? []).map(({ bytes }) => new Uint8Array(Buffer.from(bytes, 'base64url')))

/** A backup, its vault and its server, of the asker's organization and project. */
const visible = (db: Kysely<Schema>, { organization, project }: Asker, backup: BackupId) => {
  const query = db
    .selectFrom('backups as b')
    .leftJoin('vaults as v', 'v.id', 'b.vault_id')
    .leftJoin('encryption_keys as k', 'k.id', 'v.encryption_key_id')
    .innerJoin('servers as s', 's.id', 'b.server_id')
    .where('b.id', '=', backup)
    .where('b.org_id', '=', organization)
    .where('b.deleted_at', 'is', null)
  return project === null ? query : query.where('s.project_id', '=', project)
}

const committed = async (
  { db, sealing }: On,
  asker: Asker,
  backup: BackupId,
): Promise<CommittedBackup | null> => {
  const row = await visible(db, asker, backup)
    .select(['b.org_id', 'b.job_id', 'b.server_id', 'b.vault_id', 'b.status', 'b.sequence'])
    .select(['b.record_key', 'b.record_size', 'b.record_sha256', 'b.record_header'])
    .select(['b.record_sealed_file_key', 'v.signers'])
    .select(['v.storage_id', 'v.encryption_key_id', 'v.recipients', 'v.genesis', 'k.type'])
    .executeTakeFirst()
  if (row === undefined) return null
  if (row.status !== 'completed' && row.status !== 'partial')
    throw fail('INVALID_STATE', { resource: 'The backup', status: row.status })
  const { vault_id, storage_id, encryption_key_id, recipients, genesis, type, sequence } = row
  const { record_key, record_size, record_sha256, record_header, record_sealed_file_key } = row
  if (
    vault_id === null ||
    storage_id === null ||
    encryption_key_id === null ||
    recipients === null ||
    genesis === null ||
    type === null ||
    sequence === null ||
    record_key === null ||
    record_size === null ||
    record_sha256 === null ||
    record_header === null
  )
    throw fail('INVALID_STATE', { resource: 'The backup', status: 'without its record' })
  return {
    backup,
    organization: row.org_id,
    job: row.job_id,
    server: row.server_id,
    vault: vault_id,
    storage: storage_id,
    key: encryption_key_id,
    keyType: type,
    contentRecipients: recipients.content,
    sequence,
    record: {
      key: record_key,
      size: record_size,
      sha256: base64url(record_sha256),
      header: record_header,
      ...keptKey(sealing, [vault_id, record_key], record_sealed_file_key),
    },
    signers: [genesis, ...laterOf(row.signers)],
  }
}

type ObjectRow = {
  readonly object_key: string
  readonly size: number
  readonly sha256: Uint8Array
  readonly header: Uint8Array
}

const storedRow = (row: ObjectRow): StoredRow => ({
  key: row.object_key,
  size: row.size,
  sha256: base64url(row.sha256),
  header: row.header,
})

type PackRow = ObjectRow & {
  readonly pack_no: number
  readonly class: PackObject['class']
  readonly sealed_file_key: Uint8Array | null
}

const packObject =
  (sealing: Sealing, vault: VaultId) =>
  (row: PackRow): PackObject => ({
    ...storedRow(row),
    ...keptKey(sealing, [vault, row.object_key], row.sealed_file_key),
    no: row.pack_no,
    class: row.class,
  })

/** Lost ones too: a bucket may come back, and what is in fact not there is said by the store. */
const READABLE = sql`(p.state in ('stored', 'condemned') or p.lost_at is not null)`

const packs = async (
  { db, sealing }: On,
  vault: VaultId,
  nos: readonly number[],
): Promise<readonly PackObject[]> => {
  const { rows } = await sql<PackRow>`
    select p.pack_no, p.class, p.object_key, p.size, p.sha256, p.header, p.sealed_file_key from packs p
    where p.vault_id = ${vault} and p.pack_no = ${anyOf(nos)} and ${READABLE}
      and p.header is not null`.execute(db)
  return rows.map(packObject(sealing, vault))
}

const packsAmong = async (
  { db, sealing }: On,
  { vault, job, sequence }: Pick<CommittedBackup, 'vault' | 'job' | 'sequence'>,
  nos: readonly number[],
): Promise<readonly PackObject[]> => {
  const { rows } = await sql<PackRow>`
    select p.pack_no, p.class, p.object_key, p.size, p.sha256, p.header, p.sealed_file_key
    from pack_refs r join packs p on p.vault_id = r.vault_id and p.pack_no = r.pack_no
    where r.vault_id = ${vault} and r.pack_no = ${anyOf(nos)} and r.job_id = ${job}
      and r.from_seq <= ${sequence} and (r.to_seq is null or r.to_seq > ${sequence})
      and ${READABLE} and p.header is not null`.execute(db)
  return rows.map(packObject(sealing, vault))
}

type Above = { readonly after: number; readonly limit: number }

const packsOf = async (
  { db, sealing }: On,
  { vault, job, sequence }: Pick<CommittedBackup, 'vault' | 'job' | 'sequence'>,
  { after, limit }: Above,
): Promise<readonly PackObject[]> => {
  const { rows } = await sql<PackRow>`
    select p.pack_no, p.class, p.object_key, p.size, p.sha256, p.header, p.sealed_file_key
    from pack_refs r join packs p on p.vault_id = r.vault_id and p.pack_no = r.pack_no
    where r.vault_id = ${vault} and r.pack_no > ${after} and r.job_id = ${job}
      and r.from_seq <= ${sequence} and (r.to_seq is null or r.to_seq > ${sequence})
      and ${READABLE} and p.header is not null
    order by r.pack_no limit ${limit}`.execute(db)
  return rows.map(packObject(sealing, vault))
}

const secrets = async (db: Kysely<Schema>, vault: VaultId): Promise<readonly SecretObject[]> => {
  const { rows } = await sql<ObjectRow & { no: number }>`
    select no, object_key, size, sha256, header from vault_objects
    where vault_id = ${vault} and class = 'key' and stored_at is not null and header is not null
    order by no desc, stored_at desc`.execute(db)
  return rows.map((row) => ({ ...storedRow(row), no: row.no }))
}

const identityFrom = (opened: Uint8Array): Identity => parseIdentity(parseUtf8(opened) ?? '')

const identities = async (
  db: Kysely<Schema>,
  sealing: Sealing,
  vault: VaultId,
): Promise<VaultIdentities> => {
  const row = await db
    .selectFrom('vaults as v')
    .innerJoin('encryption_keys as k', 'k.id', 'v.encryption_key_id')
    .select(['v.sealed_list_identity', 'k.id as key_id', 'k.sealed_identity'])
    .where('v.id', '=', vault)
    .executeTakeFirst()
  if (row === undefined) throw fail('RESOURCE_NOT_FOUND', { resource: 'vault', id: vault })
  const { sealed_list_identity, sealed_identity, key_id } = row
  return {
    list: identityFrom(sealing.open(listIdentityPurpose(vault), sealed_list_identity)),
    content:
      sealed_identity === null
        ? null
        : identityFrom(sealing.open(identityPurpose(key_id), sealed_identity)),
  }
}

export const readingIn = (db: Kysely<Schema>, sealing: Sealing): Reading => ({
  committed: async (asker, backup) => committed({ db, sealing }, asker, backup),
  packs: async (vault, nos) => packs({ db, sealing }, vault, nos),
  packsOf: async (of, after, limit) => packsOf({ db, sealing }, of, { after, limit }),
  packsAmong: async (of, nos) => packsAmong({ db, sealing }, of, nos),
  identities: async (vault) => identities(db, sealing, vault),
  secrets: async (vault) => secrets(db, vault),
  used: async (backup) => {
    // Once a minute is enough for every rule that looks at it.
    await sql`
      update backups set last_used_at = hf_now()
      where id = ${backup} and (last_used_at is null or last_used_at < hf_now() - interval '1 minute')`.execute(
      db,
    )
  },
})
