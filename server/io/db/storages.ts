import {
  type Kysely,
  type Selectable,
  type SelectQueryBuilder,
  sql,
  type Transaction,
} from 'kysely'
import { type Storage, StorageCapabilities, type StorageChange } from '#shared/api/storages.ts'
import type { Id, StorageId } from '#shared/ids.ts'
import { parser } from '#shared/schema.ts'
import type { Caller } from '../../core/caller.ts'
import type { Storages } from '../../ports.ts'
import { parseDuration, showDuration } from '#shared/api/durations.ts'
import { SECOND } from '#shared/units.ts'
import { VERIFY_EVERY } from '../../core/verification/plan.ts'
import { audit } from './audit.ts'
import { refuseDependents } from './dependencies.ts'
import type { CredentialSealing } from './credentials.ts'
import { isoOrNull, mapPage, readPage, withUniqueName } from './pages.ts'
import type { Schema } from './schema.ts'
import { planFor } from './verifications/plans.ts'

const COLUMNS = [
  'id',
  'name',
  'provider',
  'endpoint',
  'region',
  'bucket',
  'prefix',
  'path_style',
  'allow_plaintext_downloads',
  'verify_level',
  'verify_every_seconds',
  'capabilities',
  'tested_at',
  'created_at',
  'updated_at',
] as const

/** Without the sealed credentials: what is not read cannot be shown. */
type Row = Pick<Selectable<Schema['storages']>, (typeof COLUMNS)[number]>

const parseCapabilities = parser(StorageCapabilities)

const capabilitiesOf = ({ capabilities, tested_at }: Row): StorageCapabilities | null => {
  const parsed = tested_at === null ? null : parseCapabilities(capabilities)
  return parsed !== null && 'ok' in parsed ? parsed.ok : null
}

/** Null: never. */
const planIn = ({ verify_level: level, verify_every_seconds: every }: Row): Storage['verify'] =>
  level === null || every === null ? null : { level, every: showDuration(every * SECOND) }

const shape = (row: Row): Storage => {
  const { id, name, provider, endpoint, region, bucket, prefix, path_style } = row
  const { allow_plaintext_downloads } = row
  return {
    ...{ id, name, provider, endpoint, region, bucket, prefix, path_style },
    allow_plaintext_downloads,
    verify: planIn(row),
    capabilities: capabilitiesOf(row),
    tested_at: isoOrNull(row.tested_at),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  }
}

const SORTS = {
  created_at: { by: sql.ref('created_at'), type: 'timestamptz' },
  name: { by: sql.ref('name'), type: 'text' },
} as const

const visible = (db: Kysely<Schema>, caller: Caller): SelectQueryBuilder<Schema, 'storages', Row> =>
  db
    .selectFrom('storages')
    .select(COLUMNS)
    .where('org_id', '=', caller.organization)
    .where('deleted_at', 'is', null)

const named = async <T>(name: string, write: () => Promise<T>): Promise<T> =>
  withUniqueName(['storages_name', 'a storage', name], write)

const vaultsIn = (storage: StorageId) => ({
  kind: 'vaults',
  rows: sql`select id from vaults where storage_id = ${storage}`,
})

/** Where the vaults are is said in every record of every agent: it does not change under them. */
const refuseMove = async (
  trx: Transaction<Schema>,
  storage: Row,
  { endpoint, bucket, prefix }: StorageChange,
): Promise<void> => {
  const stays = (now: string, wanted: string | undefined): boolean =>
    wanted === undefined || wanted === now
  const isThere = [
    stays(storage.endpoint, endpoint),
    stays(storage.bucket, bucket),
    stays(storage.prefix, prefix),
  ]
  if (isThere.includes(false))
    await refuseDependents(trx, ['storage', storage.id], [vaultsIn(storage.id)])
}

type Parts = {
  readonly sealing: CredentialSealing
  makeId<Kind extends string>(): Id<Kind>
}

type Change = {
  readonly id: StorageId
  readonly change: StorageChange
  readonly capabilities: StorageCapabilities | null
}

const lock = async (
  trx: Transaction<Schema>,
  caller: Caller,
  id: StorageId,
): Promise<(Row & Pick<Selectable<Schema['storages']>, 'sealed_credentials'>) | undefined> =>
  visible(trx, caller)
    .select('sealed_credentials')
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst()

type PlanColumns = Pick<Row, 'verify_level' | 'verify_every_seconds'>

const planColumns = (verify: NonNullable<StorageChange['verify']> | null): PlanColumns =>
  verify === null
    ? { verify_level: null, verify_every_seconds: null }
    : {
        verify_level: verify.level,
        verify_every_seconds: parseDuration(verify.every, 'verify.every', VERIFY_EVERY) / SECOND,
      }

const change = async (
  trx: Transaction<Schema>,
  [parts, caller]: readonly [Parts, Caller],
  { id, change: wanted, capabilities }: Change,
): Promise<Storage | null> => {
  const storage = await lock(trx, caller, id)
  if (storage === undefined) return null
  await refuseMove(trx, storage, wanted)
  const { access_key_id, secret_access_key, verify, ...columns } = wanted
  const plan = verify === undefined ? undefined : planColumns(verify)
  const fresh = access_key_id !== undefined || secret_access_key !== undefined
  const known = fresh ? parts.sealing.open(id, storage.sealed_credentials) : null
  const row = await trx
    .updateTable('storages')
    .set({ ...columns, ...plan, updated_at: sql<Date>`hf_now()` })
    .$if(capabilities !== null, (q) =>
      q.set({ capabilities: { ...capabilities }, tested_at: sql<Date>`hf_now()` }),
    )
    .$if(known !== null, (q) =>
      q.set({
        sealed_credentials: parts.sealing.seal(id, {
          access_key_id: access_key_id ?? known?.access_key_id ?? '',
          secret_access_key: secret_access_key ?? known?.secret_access_key ?? '',
        }),
      }),
    )
    .where('id', '=', id)
    .returning(COLUMNS)
    .executeTakeFirstOrThrow()
  if (plan !== undefined) await planFor(trx, id, plan.verify_every_seconds)
  await audit(trx, [caller, parts.makeId<'audit entry'>()], {
    action: 'storage.changed',
    subject: ['storage', id],
    details: { changed: Object.keys(wanted) },
  })
  return shape(row)
}

/** Jobs and vaults that are made just now wait for this lock, or this for them (hold.ts). */
const remove = async (
  trx: Transaction<Schema>,
  [parts, caller]: readonly [Parts, Caller],
  id: StorageId,
): Promise<boolean> => {
  const storage = await lock(trx, caller, id)
  if (storage === undefined) return false
  await refuseDependents(
    trx,
    ['storage', id],
    [
      {
        kind: 'jobs',
        rows: sql`select id from jobs where storage_id = ${id} and deleted_at is null`,
      },
      vaultsIn(id),
    ],
  )
  await trx
    .updateTable('storages')
    .set({ deleted_at: sql<Date>`hf_now()`, sealed_credentials: new Uint8Array() })
    .where('id', '=', id)
    .execute()
  await audit(trx, [caller, parts.makeId<'audit entry'>()], {
    action: 'storage.removed',
    subject: ['storage', id],
    details: { name: storage.name },
  })
  return true
}

export const storagesIn = (db: Kysely<Schema>, parts: Parts): Storages => ({
  list: async (caller, page, { name }) => {
    const query = visible(db, caller).$if(name !== undefined, (q) =>
      q.where('name', '=', name ?? ''),
    )
    return mapPage(await readPage(db, query, { page, sorts: SORTS, id: sql.ref('id') }), shape)
  },
  get: async (caller, id) => {
    const row = await visible(db, caller).where('id', '=', id).executeTakeFirst()
    return row === undefined ? null : shape(row)
  },
  add: async (caller, { access_key_id, secret_access_key, ...input }, capabilities) =>
    named(input.name, async () => {
      const id = parts.makeId<'storage'>()
      const row = await db
        .insertInto('storages')
        .values({
          id,
          org_id: caller.organization,
          name: input.name,
          provider: input.provider,
          endpoint: input.endpoint,
          region: input.region,
          bucket: input.bucket,
          prefix: input.prefix ?? '',
          path_style: input.path_style ?? true,
          allow_plaintext_downloads: input.allow_plaintext_downloads ?? false,
          sealed_credentials: parts.sealing.seal(id, { access_key_id, secret_access_key }),
          ...(capabilities === null
            ? {}
            : { capabilities: { ...capabilities }, tested_at: sql<Date>`hf_now()` }),
        })
        .returning(COLUMNS)
        .executeTakeFirstOrThrow()
      return shape(row)
    }),
  change: async (caller, id, wanted, capabilities) =>
    named(wanted.name ?? '', async () =>
      db
        .transaction()
        .execute(async (trx) => change(trx, [parts, caller], { id, change: wanted, capabilities })),
    ),
  remove: async (caller, id) =>
    db.transaction().execute(async (trx) => remove(trx, [parts, caller], id)),
})
