/** The rows of recovered vaults, one transaction each: shared/decisions/0014-recovery-into-an-empty-catalog.md. */
import { type Kysely, sql } from 'kysely'
import { NONCE, parseHeader } from '#shared/format/age.ts'
import { parseIdentity } from '#shared/format/keys.ts'
import type { Id, OrgId, VaultId } from '#shared/ids.ts'
import type { RecoverBackup, RecoverChain } from '#shared/protocol/recovery.ts'
import { genesisFingerprint } from '#shared/format/signers.ts'
import type { OwnFile, Recovery, VaultRows } from '../../../ports/recovery.ts'
import type { Sealing } from '../../secrets.ts'
import { closeIntervals } from '../deletion/packs.ts'
import type { Schema } from '../schema.ts'
import { listIdentityPurpose } from '../vaults/sealing.ts'
import { keyOf, type Making, nameServer, type Owner, putJob, serverOf } from './owners.ts'
import { clearIntervals, putBackup, putObjects, putOwn, type Rows } from './rows.ts'

export type RecoveryParts = {
  readonly sealing: Sealing
  readonly makeId: <Kind extends string>() => Id<Kind>
}

type Of = Parameters<Recovery['vault']>[0]

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64url'))

const preambleOf = ({ kind, bytes }: OwnFile): Uint8Array | null =>
  kind === 'signer' ? null : bytes.subarray(0, parseHeader(bytes).headerLength + NONCE)

/** A server, storage and key have one vault in use: the newest, which comes first. The others are only read from. */
const putVault = async (
  rows: Rows & Pick<Making, 'trx'>,
  [of, chain, owner]: readonly [Of, RecoverChain, Owner],
  signers: readonly OwnFile[],
): Promise<void> => {
  const { trx, sealing } = rows
  const [genesis, ...rest] = signers
  if (genesis === undefined) throw new RangeError('a chain has a genesis')
  const list = parseIdentity(of.identity).recipient.text
  const recipients = { ...chain.recipients, list: [list] }
  const later = rest.map(({ key, bytes }) => ({
    key,
    bytes: Buffer.from(bytes).toString('base64url'),
  }))
  await sql`
    insert into vaults (id, org_id, server_id, storage_id, encryption_key_id, list_recipient, sealed_list_identity,
      recipients, genesis, genesis_fingerprint, genesis_key, signers, agent_key, retired_at)
    values (${of.vault}, ${of.organization}, ${owner.server}, ${of.storage}, ${owner.key}, ${list},
      ${sealing.seal(listIdentityPurpose(of.vault), Buffer.from(of.identity, 'utf8'))}, ${recipients}::jsonb,
      ${genesis.bytes}, ${bytesOf(genesisFingerprint(genesis.bytes))}, ${genesis.key}, ${later}::jsonb,
      ${bytesOf(chain.agent_key)},
      case when exists (select 1 from vaults v where v.server_id = ${owner.server} and v.storage_id = ${of.storage}
        and v.encryption_key_id = ${owner.key} and v.retired_at is null) then hf_now() end)
    on conflict (id) do update set signers = excluded.signers, updated_at = hf_now()`.execute(trx)
}

type State = { owner: Owner | null; job: string; hostname: string }

const ownerIn = ({ owner }: State): Owner => {
  if (owner === null) throw new RangeError('the chain comes first')
  return owner
}

const rowsFor = (rows: Rows, making: Making, of: Of): VaultRows => {
  const state: State = { owner: null, job: '', hostname: '' }
  const { trx } = rows
  return {
    chain: async (chain, own) => {
      const [content = ''] = chain.recipients.content
      const owner = {
        server: await serverOf(making, bytesOf(chain.agent_key)),
        key: await keyOf(making, content),
      }
      state.owner = owner
      const signers = own.filter(({ kind }) => kind === 'signer')
      await putVault(rows, [of, chain, owner], signers)
      await putOwn(
        rows,
        own.map((file) => ({ ...file, header: preambleOf(file) })),
      )
    },
    objects: async (objects) => putObjects(rows, objects),
    backup: async (backup: RecoverBackup, etag) => {
      const owner = ownerIn(state)
      await putJob(making, { ...owner, storage: of.storage, vault: of.vault }, backup)
      if (backup.job !== state.job) await clearIntervals(rows, backup.job)
      state.job = backup.job
      state.hostname = backup.hostname
      return putBackup(rows, backup, [owner.server, etag])
    },
    finish: async ({ unread }) => {
      if (state.owner === null) return
      await nameServer(making, state.owner.server, state.hostname)
      const { rows: lost } = await sql<{ pack_no: number }>`
        select pack_no from packs where vault_id = ${of.vault} and lost_at is not null`.execute(trx)
      await closeIntervals(
        trx,
        of.vault,
        lost.map(({ pack_no }) => pack_no),
      )
      await sql`
        update vaults set unread_at = case when ${unread}::boolean then hf_now() end, gc_epoch = greatest(gc_epoch, 1)
        where id = ${of.vault}`.execute(trx)
    },
  }
}

const raise = async (db: Kysely<Schema>, organization: OrgId, above: number): Promise<number> =>
  db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ catalog_epoch: number }>`
      update organizations set catalog_epoch = greatest(catalog_epoch, ${above}::bigint) + 1, updated_at = hf_now()
      where id = ${organization} returning catalog_epoch`.execute(trx)
    const epoch = rows[0]?.catalog_epoch ?? above + 1
    await sql`
      update vaults set catalog_epoch = ${epoch}, next_pack_counter = 1, updated_at = hf_now()
      where org_id = ${organization}`.execute(trx)
    return epoch
  })

export const recoveryIn = (db: Kysely<Schema>, { sealing, makeId }: RecoveryParts): Recovery => ({
  listRecipient: async (organization, vault: VaultId) => {
    const row = await db
      .selectFrom('vaults')
      .select('list_recipient')
      .where('id', '=', vault)
      .where('org_id', '=', organization)
      .executeTakeFirst()
    return row?.list_recipient ?? null
  },
  vault: async (of, work) =>
    db.transaction().execute(async (trx) => {
      const rows = { trx, organization: of.organization, vault: of.vault, sealing }
      await work(rowsFor(rows, { trx, organization: of.organization, makeId }, of))
    }),
  raise: async (organization, above) => raise(db, organization, above),
})
