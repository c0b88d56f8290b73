/** Rows of a vault, its server, key, job, backups and objects, as commits would have made them. */
import { identityPurpose } from '#server/io/db/encryption-keys.ts'
import type { Database } from '#server/io/db/open.ts'
import { vaultSealing } from '#server/io/db/vaults/sealing.ts'
import type { Sealing } from '#server/io/secrets.ts'
import { preambleLength } from '#shared/format/age.ts'
import { sha256 } from '#shared/format/keys.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { BackupId, JobId, KeyId, OrgId, ServerId, StorageId, VaultId } from '#shared/ids.ts'
import { newId } from './http-objects.ts'
import type { VaultWriter, WrittenBackup } from './vault-writer.ts'

export type VaultIds = {
  readonly server: ServerId
  readonly job: JobId
  readonly vault: VaultId
  readonly key: KeyId
}

/** Whose rows they are. */
export type Owner = {
  readonly database: Pick<Database, 'db'>
  readonly sealing: Sealing
  readonly organization: OrgId
  readonly storage: StorageId
}

export const insertOwners = async (
  { database, sealing, organization, storage }: Owner,
  writer: VaultWriter,
  type: 'managed' | 'customer',
): Promise<VaultIds> => {
  const { db } = database
  const ids = {
    server: newId<'server'>(),
    key: newId<'encryption key'>(),
    job: writer.job as JobId,
    vault: writer.vault as VaultId,
  }
  const sealed = (text: string): Uint8Array =>
    sealing.seal(identityPurpose(ids.key), Buffer.from(text))
  await db
    .insertInto('servers')
    .values({ id: ids.server, org_id: organization, name: `server ${ids.server}`, type: 'agent' })
    .execute()
  await db
    .insertInto('encryption_keys')
    .values({
      id: ids.key,
      org_id: organization,
      name: `key ${ids.key}`,
      type,
      recipient: writer.identity.recipient.text,
      sealed_identity: type === 'managed' ? sealed(writer.identity.text) : null,
    })
    .execute()
  const genesisKey = [...writer.objects.keys()].find((key) => parseKey(key)?.kind === 'signer')!
  await db
    .insertInto('vaults')
    .values({
      id: ids.vault,
      org_id: organization,
      server_id: ids.server,
      storage_id: storage,
      encryption_key_id: ids.key,
      list_recipient: writer.list.recipient.text,
      sealed_list_identity: vaultSealing(sealing).seal(ids.vault, writer.list.text),
      recipients: {
        content: [writer.identity.recipient.text],
        recovery: [writer.recovery.recipient.text],
        list: [writer.list.recipient.text],
      },
      genesis: writer.objects.get(genesisKey)!,
      genesis_fingerprint: Buffer.from(writer.fingerprint, 'base64url'),
      genesis_key: genesisKey,
    })
    .execute()
  await insertJob({ database, organization, storage }, ids)
  return ids
}

const insertJob = async (
  { database, organization, storage }: Omit<Owner, 'sealing'>,
  ids: VaultIds,
): Promise<void> => {
  await database.db.transaction().execute(async (trx) => {
    const name = `job ${ids.job}`
    await trx
      .insertInto('jobs')
      .values({
        id: ids.job,
        org_id: organization,
        server_id: ids.server,
        storage_id: storage,
        encryption_key_id: ids.key,
        name,
      })
      .execute()
    await trx
      .insertInto('job_versions')
      .values({
        job_id: ids.job,
        version: 1,
        org_id: organization,
        name,
        storage_id: storage,
        encryption_key_id: ids.key,
        sources: [{ type: 'files', paths: ['/'] }],
      })
      .execute()
  })
}

const headerOf = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, preambleLength(bytes))

/** As the storage gave them, by key. */
export type Etags = ReadonlyMap<string, string>

export const insertBackup = async (
  { db }: Pick<Database, 'db'>,
  { organization, writer, ids }: { organization: OrgId; writer: VaultWriter; ids: VaultIds },
  { written, sequence, etags }: { written: WrittenBackup; sequence: number; etags: Etags },
): Promise<BackupId> => {
  const id = written.backup as BackupId
  const record = writer.objects.get(written.key)!
  const now = new Date()
  await db
    .insertInto('backups')
    .values({
      id,
      org_id: organization,
      job_id: ids.job,
      job_version: 1,
      server_id: ids.server,
      vault_id: ids.vault,
      name: `backup ${sequence}`,
      status: 'completed',
      trigger: 'manual',
      sequence,
      record_key: written.key,
      record_size: record.length,
      record_sha256: sha256(record),
      record_header: headerOf(record),
      record_etag: etags.get(written.key) ?? 'etag',
      started_at: now,
      completed_at: now,
    })
    .execute()
  return id
}

/** Every object that the backup leads to. */
const packsOf = (written: WrittenBackup): readonly number[] => {
  const locators = [
    ...written.files.flatMap(({ content, lists }) => [...content, ...lists]),
    ...written.segments.map(({ locator }) => locator),
    ...written.fence.map(({ locator }) => locator),
    ...written.table.map(({ locator }) => locator),
  ]
  return [...new Set(locators.map(([no]) => no))].sort((a, b) => a - b)
}

/** What has rows already. */
export type KnownRows = { readonly packs: Set<number>; readonly keys: Set<string> }

export const insertObjects = async (
  { db }: Pick<Database, 'db'>,
  {
    organization,
    writer,
    ids,
    known,
  }: { organization: OrgId; writer: VaultWriter; ids: VaultIds; known: KnownRows },
  {
    written,
    backup,
    sequence,
    etags,
  }: { written: WrittenBackup; backup: BackupId; sequence: number; etags: Etags },
): Promise<void> => {
  const facts = (key: string): { size: number; sha256: Uint8Array; header?: Uint8Array } => {
    const bytes = writer.objects.get(key)!
    const isPlain = parseKey(key)?.kind === 'signer'
    return {
      ...{ size: bytes.length, sha256: sha256(bytes) },
      ...(isPlain ? {} : { header: headerOf(bytes) }),
    }
  }
  const stored = { org_id: organization, vault_id: ids.vault, stored_at: new Date() }
  const etagOf = (key: string): string => etags.get(key) ?? 'etag'
  for (const [no, placed] of writer.store.placed) {
    if (known.packs.has(no)) continue
    known.packs.add(no)
    await db
      .insertInto('packs')
      .values({
        ...stored,
        ...facts(placed.key),
        etag: etagOf(placed.key),
        pack_no: no,
        class: placed.kind,
        object_key: placed.key,
        state: 'stored',
        granted_by: backup,
      })
      .execute()
  }
  for (const key of writer.objects.keys()) {
    const parsed = parseKey(key)
    if ((parsed?.kind !== 'key' && parsed?.kind !== 'signer') || known.keys.has(key)) continue
    known.keys.add(key)
    await db
      .insertInto('vault_objects')
      .values({
        ...stored,
        ...facts(key),
        etag: etagOf(key),
        class: parsed.kind,
        no: parsed.no,
        object_key: key,
        granted_by: backup,
      })
      .execute()
  }
  for (const pack_no of packsOf(written))
    await db
      .insertInto('pack_refs')
      .values({
        org_id: organization,
        vault_id: ids.vault,
        job_id: ids.job,
        pack_no,
        from_seq: sequence,
        to_seq: sequence + 1,
        live_bytes: 1,
      })
      .execute()
}
