import { type Kysely, type Selectable, sql } from 'kysely'
import type { Organization, RecoveryPage } from '#shared/api/organization.ts'
import { fail } from '#shared/errors.ts'
import type { Id } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { OwnOrganization } from '../../ports/organization.ts'
import { audit } from './audit.ts'
import { limitsIn } from './limits.ts'
import { isoOrNull, mapPage, readPage } from './pages.ts'
import type { Schema } from './schema.ts'

type Row = Selectable<Schema['organizations']>

const base64url = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString('base64url')

export const recoveryOf = (
  row: Pick<Row, 'recovery_recipient' | 'signing_public_key' | 'kit_confirmed_at'>,
): Organization['recovery'] => ({
  recipient: row.recovery_recipient,
  signing_key: base64url(row.signing_public_key),
  confirmed_at: isoOrNull(row.kit_confirmed_at),
})

const shape = (row: Row): Organization => ({
  id: row.id,
  name: row.name,
  limits: limitsIn(row.limits),
  recovery: recoveryOf(row),
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
})

const rowOf = async (db: Kysely<Schema>, caller: Caller): Promise<Row> => {
  const row = await db
    .selectFrom('organizations')
    .selectAll()
    .where('id', '=', caller.organization)
    .executeTakeFirst()
  if (row === undefined) throw fail('UNAUTHENTICATED')
  return row
}

/** Few: every one of them is shown. */
const MOST_STORAGES = 1000

const SORTS = { created_at: { by: sql.ref('v.created_at'), type: 'timestamptz' } } as const

const vaultsOf = (db: Kysely<Schema>, caller: Caller) => {
  const all = db
    .selectFrom('vaults as v')
    .innerJoin('servers as s', 's.id', 'v.server_id')
    .where('v.org_id', '=', caller.organization)
    .select([
      'v.id',
      'v.server_id',
      's.name as server',
      'v.storage_id',
      'v.encryption_key_id',
      'v.genesis_fingerprint',
      'v.created_at',
      'v.retired_at',
    ])
  return caller.project === null ? all : all.where('s.project_id', '=', caller.project)
}

const recovery: (db: Kysely<Schema>) => OwnOrganization['recovery'] =
  (db) => async (caller, page) => {
    const row = await rowOf(db, caller)
    const storages: RecoveryPage['storages'] = await db
      .selectFrom('storages')
      .select(['id', 'name', 'endpoint', 'region', 'bucket', 'prefix'])
      .where('org_id', '=', caller.organization)
      .where('deleted_at', 'is', null)
      .orderBy('name')
      .limit(MOST_STORAGES)
      .execute()
    const found = await readPage(db, vaultsOf(db, caller), {
      page,
      sorts: SORTS,
      id: sql.ref('v.id'),
    })
    const vaults = mapPage(found, (vault) => ({
      id: vault.id,
      server_id: vault.server_id,
      server: vault.server,
      storage_id: vault.storage_id,
      encryption_key_id: vault.encryption_key_id,
      genesis_fingerprint: base64url(vault.genesis_fingerprint),
      created_at: vault.created_at.toISOString(),
      retired_at: isoOrNull(vault.retired_at),
    }))
    const about = {
      organization_id: row.id,
      organization: row.name,
      recovery: recoveryOf(row),
      storages,
    }
    return { about, vaults }
  }

type Parts = { makeId<Kind extends string>(): Id<Kind> }

export const ownOrganizationIn = (db: Kysely<Schema>, parts: Parts): OwnOrganization => {
  const set = async (
    caller: Caller,
    values: Partial<Pick<Row, 'name' | 'limits'>> & { readonly confirmed?: true },
    action: string,
  ): Promise<Organization> =>
    db.transaction().execute(async (trx) => {
      const { confirmed, ...columns } = values
      const row = await trx
        .updateTable('organizations')
        .set({ ...columns, updated_at: sql<Date>`hf_now()` })
        .$if(confirmed === true, (q) => q.set({ kit_confirmed_at: sql<Date>`hf_now()` }))
        .where('id', '=', caller.organization)
        .returningAll()
        .executeTakeFirstOrThrow()
      await audit(trx, [caller, parts.makeId<'audit entry'>()], {
        action,
        subject: ['organization', row.id],
        details: columns,
      })
      return shape(row)
    })
  return {
    get: async (caller) => shape(await rowOf(db, caller)),
    change: async (caller, { name, limits }) => {
      const row = await rowOf(db, caller)
      if (name === undefined && limits === undefined) return shape(row)
      return set(
        caller,
        {
          ...(name === undefined ? {} : { name }),
          ...(limits === undefined ? {} : { limits: { ...limitsIn(row.limits), ...limits } }),
        },
        'organization.changed',
      )
    },
    signingKey: async (caller) => (await rowOf(db, caller)).signing_public_key,
    confirmKit: async (caller) => set(caller, { confirmed: true }, 'recovery-kit.confirmed'),
    recovery: recovery(db),
  }
}
