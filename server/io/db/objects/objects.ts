import { type Kysely, sql } from 'kysely'
import type { BackupId, VaultId } from '#shared/ids.ts'
import type { ObjectClass } from '#shared/protocol/reports.ts'
import type { GrantedObject, Objects, StoredObjectNote } from '../../../ports.ts'
import { ownVault, raiseEpoch } from '../deletion/gate.ts'
import { closeIntervals } from '../deletion/packs.ts'
import { anyOf } from '../pack-numbers.ts'
import type { Schema } from '../schema.ts'
import { grantObjects } from './grant.ts'
import { takeNumbers } from './numbers.ts'

type ObjectRow = {
  class: ObjectClass
  no: number
  object_key: string
  size: number
  sha256: Uint8Array
  etag: string | null
}

export const objectIn = (row: ObjectRow): GrantedObject => ({
  class: row.class,
  no: row.no,
  key: row.object_key,
  size: row.size,
  sha256: Buffer.from(row.sha256).toString('base64url'),
  etag: row.etag,
})

type Name = { readonly class: ObjectClass; readonly no: number }

/** Of several records, signers or keys that a run was granted under one number, the newest is the one it means. */
const find = async (
  db: Kysely<Schema>,
  backup: BackupId,
  names: readonly Name[],
): Promise<readonly GrantedObject[]> => {
  const asked = names.map((name) => ({ kind: name.class, no: name.no }))
  const { rows } = await sql<ObjectRow>`
    with asked as (
      select distinct kind, no from jsonb_to_recordset(${asked}::jsonb) as a(kind text, no bigint)
    )
    select p.class, p.pack_no as no, p.object_key, p.size, p.sha256, p.etag
    from asked a
    join backups b on b.id = ${backup}
    join packs p on p.vault_id = b.vault_id and p.pack_no = a.no and p.class = a.kind
    where p.state in ('granted', 'stored')
    union all
    select o.class, o.no, o.object_key, o.size, o.sha256, o.etag
    from asked a
    cross join lateral (
      select * from vault_objects o where o.granted_by = ${backup} and o.class = a.kind and o.no = a.no
      order by o.granted_at desc, o.object_key desc limit 1
    ) o`.execute(db)
  return rows.map(objectIn)
}

const store = async (
  db: Kysely<Schema>,
  { backup, epoch }: { readonly backup: BackupId; readonly epoch: number },
  notes: readonly StoredObjectNote[],
): Promise<boolean> => {
  const stored = notes.map(({ object, etag, header }) => ({
    kind: object.class,
    no: object.no,
    key: object.key,
    etag,
    header: Buffer.from(header).toString('hex'),
  }))
  const { rows } = await sql<{ id: string }>`
    with run as (
      select id, vault_id from backups
      where id = ${backup} and status = 'running' and lease_epoch = ${epoch} for share
    ), stored as (
      select * from jsonb_to_recordset(${stored}::jsonb) as s(kind text, no bigint, key text, etag text, header text)
    ), packed as (
      update packs p set state = 'stored', etag = s.etag, header = decode(s.header, 'hex'), stored_at = hf_now()
      from run, stored s
      where p.vault_id = run.vault_id and p.pack_no = s.no and p.object_key = s.key and p.state = 'granted'
    ), others as (
      update vault_objects o set etag = s.etag, header = decode(s.header, 'hex'), stored_at = hf_now()
      from run, stored s
      where o.vault_id = run.vault_id and o.object_key = s.key and o.stored_at is null and s.kind not in ('pack', 'tree')
    )
    select id from run`.execute(db)
  return rows.length > 0
}

/** Rows of one transaction; each has its epoch, so that a run can be told of some of them (runs/brief.ts). */
const LOST_AT_ONCE = 1000

/**
 * Lock order: the vault, then packs by rising number. Later runs are told, for the gc_epoch rises; and no later backup builds
 * upon them, for their intervals end with the heads (deletion/packs.ts, markDeleted). Nothing is removed from the store:
 * what is back there is found again (spot-checks.ts).
 */
const lostTogether = async (
  db: Kysely<Schema>,
  vault: VaultId,
  packs: readonly number[],
): Promise<void> =>
  db.transaction().execute(async (trx) => {
    await ownVault(trx, vault)
    const epoch = await raiseEpoch(trx, vault)
    await sql`
      with locked as (
        select pack_no from packs
        where vault_id = ${vault} and pack_no = ${anyOf(packs)} and state <> 'deleted'
        order by pack_no for update
      )
      update packs p set state = 'deleted', lost_at = hf_now(), deleted_at = hf_now(),
        condemned_at = coalesce(condemned_at, hf_now()), condemned_epoch = ${epoch}
      from locked where p.vault_id = ${vault} and p.pack_no = locked.pack_no`.execute(trx)
    await closeIntervals(trx, vault, packs)
  })

const lost = async (
  db: Kysely<Schema>,
  vault: VaultId,
  packs: readonly number[],
): Promise<void> => {
  for (let at = 0; at < packs.length; at += LOST_AT_ONCE)
    await lostTogether(db, vault, packs.slice(at, at + LOST_AT_ONCE))
}

const forget = async (
  db: Kysely<Schema>,
  backup: BackupId,
  { classes, keep }: { classes: readonly ObjectClass[]; keep: readonly string[] },
): Promise<readonly string[]> => {
  const { rows } = await sql<{ object_key: string }>`
    delete from vault_objects o using backups b
    where b.id = ${backup} and o.vault_id = b.vault_id
      and o.class = any(${[...classes]}::text[])
      and case when o.class = 'record' then o.granted_by = b.id else o.no = 0 end
      and o.object_key <> all(${[...keep]}::text[])
    returning o.object_key`.execute(db)
  return rows.map(({ object_key }) => object_key)
}

export const objectsIn = (db: Kysely<Schema>): Objects => ({
  numbers: async (backup, epoch, wish) => takeNumbers(db, { backup, epoch }, wish),
  grant: async (ask, decide, keyOf) => grantObjects(db, ask, { decide, keyOf }),
  find: async (backup, names) => find(db, backup, names),
  store: async (backup, epoch, notes) => store(db, { backup, epoch }, notes),
  lost: async (vault, packs) => lost(db, vault, packs),
  forget: async (backup, classes, keep) => forget(db, backup, { classes, keep }),
})
