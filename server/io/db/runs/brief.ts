import { type Kysely, sql, type Transaction } from 'kysely'
import type { BackupId, VaultId } from '#shared/ids.ts'
import { FilesSource } from '#shared/protocol/orders.ts'
import { parser, Type } from '#shared/schema.ts'
import type { Briefing } from '../../../ports/runs.ts'
import type { Schema } from '../schema.ts'
import { fail } from '#shared/errors.ts'
import { shareVault } from '../deletion/gate.ts'

// What one `backup.start` can carry. Of packs that are gone the rest is told next time, and the floor is lower.
const MOST_GONE = 10_000
const MOST_KEPT = 100_000

const parseSources = parser(Type.Array(FilesSource))

type Bound = {
  job_id: string
  job_name: string
  sources: unknown
  catalog_epoch: number
  gc_epoch: number
  genesis: boolean
  unwritten: boolean
  recipients: Briefing['vault']['recipients']
  head_sequence: number | null
  head_backup: string | null
  head_sha256: Uint8Array | null
  head_gc_epoch: number | null
  head_files: number | null
  head_bytes: number | null
}

/** The run holds the vault's gc_epoch of this moment as its floor: what is condemned later is still there for it. Behind the gate. */
const bind = async (trx: Transaction<Schema>, backup: BackupId, vault: VaultId): Promise<Bound> => {
  const { rows } = await sql<Bound>`
    with bound as (
      update backups b set vault_id = v.id, gc_floor = v.gc_epoch, updated_at = hf_now()
      from vaults v where b.id = ${backup} and v.id = ${vault} and v.org_id = b.org_id
      returning b.job_id, b.job_version, b.org_id, v.gc_epoch, v.genesis is not null as genesis,
        v.unwritten_at is not null as unwritten, v.recipients
    )
    select bound.job_id, j.name as job_name, jv.sources, o.catalog_epoch, bound.gc_epoch, bound.genesis, bound.unwritten, bound.recipients,
      h.sequence as head_sequence, h.backup_id as head_backup, h.record_sha256 as head_sha256,
      h.gc_epoch as head_gc_epoch, (hb.counts->>'files')::bigint as head_files, hb.bytes_source as head_bytes
    from bound
    join jobs j on j.id = bound.job_id
    join job_versions jv on jv.job_id = bound.job_id and jv.version = bound.job_version
    join organizations o on o.id = bound.org_id
    left join job_heads h on h.vault_id = ${vault} and h.job_id = bound.job_id and h.sequence > 0
    left join backups hb on hb.id = h.backup_id`.execute(trx)
  const [row] = rows
  if (row === undefined) throw fail('RESOURCE_NOT_FOUND', { resource: 'vault', id: vault })
  return row
}

const parentOf = (row: Bound): Briefing['parent'] =>
  row.head_backup === null || row.head_sequence === null || row.head_sha256 === null
    ? null
    : {
        backup: row.head_backup,
        sequence: row.head_sequence,
        record_sha256: Buffer.from(row.head_sha256).toString('base64url'),
      }

const keptBy = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  job: string,
): Promise<readonly number[]> => {
  const { rows } = await sql<{ sequence: number }>`
    select sequence from backups
    where vault_id = ${vault} and job_id = ${job} and sequence is not null and deleted_at is null
    order by sequence desc limit ${MOST_KEPT}`.execute(trx)
  return rows.map(({ sequence }) => sequence).reverse()
}

/** `all`: more was lost than can be told, so nothing that the agent knows of counts. */
type Told = { readonly gone: readonly number[]; readonly epoch: number; readonly all: boolean }

/** Index: packs_lost. */
const lostSince = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  since: number,
): Promise<number> => {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from packs
    where vault_id = ${vault} and lost_at is not null and condemned_epoch > ${since}`.execute(trx)
  return rows[0]?.count ?? 0
}

/** What was condemned or deleted since, epoch by epoch as far as it fits; `epoch` is the last that was told in full. */
const goneSince = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  [since, present]: readonly [number, number],
): Promise<Told> => {
  const { rows } = await sql<{ pack_no: number; condemned_epoch: number }>`
    select pack_no, condemned_epoch from packs where vault_id = ${vault} and condemned_epoch > ${since}
    order by condemned_epoch limit ${MOST_GONE + 1}`.execute(trx)
  if (rows.length > MOST_GONE && (await lostSince(trx, vault, since)) > MOST_GONE)
    return { gone: [], epoch: present, all: true }
  const cut = rows[MOST_GONE]
  const epoch = cut === undefined ? present : cut.condemned_epoch - 1
  const told = rows.filter((row) => row.condemned_epoch <= epoch)
  return { gone: told.map(({ pack_no }) => pack_no), epoch, all: false }
}

/** Index: packs_retired_now. */
const retiredIn = async (trx: Transaction<Schema>, vault: VaultId): Promise<readonly number[]> => {
  const { rows } = await sql<{ pack_no: number }>`
    select pack_no from packs
    where vault_id = ${vault} and state = 'stored' and retired_epoch is not null
    order by pack_no limit ${MOST_GONE}`.execute(trx)
  return rows.map(({ pack_no }) => pack_no)
}

export const brief = async (
  db: Kysely<Schema>,
  backup: BackupId,
  vault: VaultId,
): Promise<Briefing> =>
  db.transaction().execute(async (trx) => {
    await shareVault(trx, vault)
    const row = await bind(trx, backup, vault)
    const sources = parseSources(row.sources)
    if (!('ok' in sources))
      throw fail('VALIDATION_FAILED', {
        field: `sources.${sources.field}`,
        problem: sources.problem,
      })
    const parent = parentOf(row)
    const told = await goneSince(trx, vault, [row.head_gc_epoch ?? 0, row.gc_epoch])
    if (told.epoch < row.gc_epoch)
      await sql`update backups set gc_floor = ${told.epoch} where id = ${backup}`.execute(trx)
    return {
      job_name: row.job_name,
      vault: {
        id: vault,
        is_new: !row.genesis,
        ...(row.unwritten ? { again: true } : {}),
        recipients: row.recipients,
      },
      catalog_epoch: row.catalog_epoch,
      sequence: (parent?.sequence ?? 0) + 1,
      parent,
      sources: sources.ok,
      gc_epoch: told.epoch,
      kept: await keptBy(trx, vault, row.job_id),
      gone: told.gone,
      forget: told.all,
      retired: await retiredIn(trx, vault),
      expected:
        row.head_files === null || row.head_bytes === null
          ? null
          : { files: row.head_files, bytes: row.head_bytes },
    }
  })
