/** A person removes a backup, or takes that back. Lock order: the vault, then the backup, then packs by rising number. */
import { type Kysely, sql, type Transaction } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { BackupId, Id, VaultId } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import { GRACE } from '../../../core/deletion.ts'
import { audit } from '../audit.ts'
import { refuseDependents } from '../dependencies.ts'
import { anyOf } from '../pack-numbers.ts'
import type { Schema } from '../schema.ts'
import { span } from '../tasks/tasks.ts'
import { shareVault } from './gate.ts'

type Entry = Id<'audit entry'>
type Asked = readonly [Caller, Entry]

type Row = {
  status: string
  name: string
  vault_id: VaultId | null
  job_id: string
  sequence: number | null
  pinned: boolean
  deleted_at: Date | null
  purged_at: Date | null
  over: boolean
}

const one = async (
  trx: Transaction<Schema>,
  caller: Caller,
  [id, lock]: readonly [BackupId, boolean],
): Promise<Row | null> => {
  const { rows } = await sql<Row>`
    select b.status, b.name, b.vault_id, b.job_id, b.sequence, b.pinned, b.deleted_at, b.purged_at,
      coalesce(b.deleted_at <= hf_now() - ${span(GRACE)}, false) as over
    from backups b join servers s on s.id = b.server_id
    where b.id = ${id} and b.org_id = ${caller.organization}
      and (${caller.project}::uuid is null or s.project_id = ${caller.project}::uuid)
    ${lock ? sql`for update of b` : sql``}`.execute(trx)
  return rows[0] ?? null
}

/** Behind the gate of its vault, where it has one. */
const locked = async (
  trx: Transaction<Schema>,
  caller: Caller,
  id: BackupId,
): Promise<Row | null> => {
  const seen = await one(trx, caller, [id, false])
  if (seen === null) return null
  if (seen.vault_id !== null) await shareVault(trx, seen.vault_id)
  return one(trx, caller, [id, true])
}

/** A collection of the vault begins as soon as may be, also when one is under way. */
export const askFor = async (trx: Kysely<Schema>, vault: VaultId): Promise<void> => {
  await sql`
    update collections set asked_at = hf_now(), run_after = least(run_after, hf_now()), updated_at = hf_now()
    where id = ${vault}`.execute(trx)
}

const READERS = (id: BackupId) =>
  [
    {
      kind: 'restores',
      rows: sql`select id from restores where backup_id = ${id} and status in ('pending', 'running')`,
    },
    {
      kind: 'downloads',
      rows: sql`select id from downloads where backup_id = ${id} and status = 'pending' and deleted_at is null`,
    },
    {
      kind: 'verifications',
      rows: sql`select id from verifications where backup_id = ${id} and status in ('pending', 'running')`,
    },
  ] as const

const refuse = async (trx: Transaction<Schema>, id: BackupId, row: Row): Promise<void> => {
  if (row.status === 'pending' || row.status === 'running')
    throw fail('OPERATION_IN_PROGRESS', { operation: 'run', resource: 'backup', id })
  if (row.pinned) throw fail('CONFLICT', { problem: 'The backup is pinned', backup_id: id })
  await refuseDependents(trx, ['backup', id], READERS(id))
}

export const removeBackup = async (
  db: Kysely<Schema>,
  [caller, entry]: Asked,
  id: BackupId,
): Promise<true | null> =>
  db.transaction().execute(async (trx) => {
    const row = await locked(trx, caller, id)
    if (row === null || row.deleted_at !== null) return null
    await refuse(trx, id, row)
    await sql`
      update backups set deleted_at = hf_now(), updated_at = hf_now() where id = ${id}`.execute(trx)
    if (row.vault_id !== null) await askFor(trx, row.vault_id)
    await audit(trx, [caller, entry], {
      action: 'backup.deleted',
      subject: ['backup', id],
      details: { name: row.name, job_id: row.job_id },
    })
    return true
  })

/** Locked by rising number. Every pack is still there while the grace period lasts, unless the store lost it. */
const revivePacks = async (
  trx: Transaction<Schema>,
  id: BackupId,
  { vault_id, job_id, sequence }: Row,
): Promise<void> => {
  if (vault_id === null || sequence === null) return
  const { rows } = await sql<{ pack_no: number; state: string }>`
    select p.pack_no, p.state from packs p
    where p.vault_id = ${vault_id} and p.pack_no in (
      select r.pack_no from pack_refs r where r.vault_id = ${vault_id} and r.job_id = ${job_id}
        and r.from_seq <= ${sequence} and (r.to_seq is null or r.to_seq > ${sequence}))
    order by p.pack_no for update`.execute(trx)
  const gone = rows.filter(({ state }) => state === 'deleted')
  if (gone.length > 0) throw fail('GONE', { resource: 'backup', id, packs: gone.length })
  const condemned = rows.flatMap(({ pack_no, state }) => (state === 'condemned' ? [pack_no] : []))
  if (condemned.length > 0)
    await sql`
      update packs set state = 'stored', condemned_at = null, condemned_epoch = null
      where vault_id = ${vault_id} and pack_no = ${anyOf(condemned)}`.execute(trx)
}

/** `true` also where it was not removed at all. */
export const restoreBackup = async (
  db: Kysely<Schema>,
  [caller, entry]: Asked,
  id: BackupId,
): Promise<boolean> =>
  db.transaction().execute(async (trx) => {
    const row = await locked(trx, caller, id)
    if (row === null) return false
    if (row.deleted_at === null) return true
    if (row.over || row.purged_at !== null) throw fail('GONE', { resource: 'backup', id, packs: 0 })
    await revivePacks(trx, id, row)
    await sql`
      update backups set deleted_at = null, updated_at = hf_now() where id = ${id}`.execute(trx)
    await audit(trx, [caller, entry], {
      action: 'backup.undeleted',
      subject: ['backup', id],
      details: { name: row.name, job_id: row.job_id },
    })
    return true
  })
