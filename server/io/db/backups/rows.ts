/** Which backups a caller sees, by what they are filtered and sorted, and the columns that are shown of them. */
import { type Kysely, type RawBuilder, sql, type SqlBool } from 'kysely'
import type { BackupQuery } from '#shared/api/backups.ts'
import { parseTime } from '#shared/api/times.ts'
import type { BackupId } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import type { JsonObject, Schema } from '../schema.ts'

// Each has an index of 0002_resources.sql that says the same.
export const SORTS = {
  created_at: { by: sql.ref('b.created_at'), type: 'timestamptz' },
  name: { by: sql.ref('b.name'), type: 'text' },
  status: { by: sql.ref('b.status'), type: 'text' },
  size_bytes: { by: sql`coalesce(b.bytes_source, 0)`, type: 'bigint' },
  // What is not over yet is the newest.
  completed_at: { by: sql`coalesce(b.completed_at, 'infinity'::timestamptz)`, type: 'timestamptz' },
} as const

type Condition = RawBuilder<SqlBool>

/** `%` and `_` mean themselves. */
const containing = (text: string): string => `%${text.replace(/[\\%_]/g, (c) => `\\${c}`)}%`

const at = (text: string, field: string): RawBuilder<unknown> =>
  sql`${new Date(parseTime(text, field))}::timestamptz`

/** One condition a filter. */
const CONDITIONS: {
  readonly [F in keyof BackupQuery]?: (value: NonNullable<BackupQuery[F]>) => Condition
} = {
  job_id: (id) => sql`b.job_id = ${id}`,
  job_version: (version) => sql`b.job_version = ${version}`,
  server_id: (id) => sql`b.server_id = ${id}`,
  project_id: (id) => sql`b.server_id in (select id from servers where project_id = ${id})`,
  environment: (name) => sql`b.server_id in (select id from servers where environment = ${name})`,
  status: (status) => sql`b.status = ${status}`,
  tag: (tag) => sql`b.tags @> array[${tag}]::text[]`,
  trigger: (trigger) => sql`b.trigger = ${trigger}`,
  external_id: (id) => sql`b.external_id = ${id}`,
  search: (text) => sql`(b.name || ' ' || b.description) ilike ${containing(text)}`,
  created_after: (time) => sql`b.created_at >= ${at(time, 'created_after')}`,
  created_before: (time) => sql`b.created_at < ${at(time, 'created_before')}`,
  started_since: (time) => sql`b.started_at >= ${at(time, 'started_since')}`,
  completed_since: (time) => sql`b.completed_at is not null
    and coalesce(b.completed_at, 'infinity'::timestamptz) >= ${at(time, 'completed_since')}`,
}

const isFilter = (name: string): name is keyof typeof CONDITIONS => name in CONDITIONS

const conditionsOf = (query: Partial<BackupQuery>): readonly Condition[] =>
  Object.entries<unknown>(query).flatMap(([name, value]) => {
    if (!isFilter(name) || value === undefined) return []
    // The entry of this name takes the value of this name.
    const condition = CONDITIONS[name] as ((value: unknown) => Condition) | undefined
    return condition === undefined ? [] : [condition(value)]
  })

/** A caller of one project sees the backups of that project's servers. */
const seenBy = (caller: Caller): readonly Condition[] => [
  sql`b.org_id = ${caller.organization}`,
  sql`b.deleted_at is null`,
  ...(caller.project === null
    ? []
    : [sql<SqlBool>`b.server_id in (select id from servers where project_id = ${caller.project})`]),
]

const from = (db: Kysely<Schema>) => db.selectFrom('backups as b')
export type Rows = ReturnType<typeof from>

/** Without a column: what is counted, and what `withColumns` makes rows of. */
export const matching = (
  db: Kysely<Schema>,
  caller: Caller,
  query: Partial<BackupQuery> & { readonly id?: BackupId },
): Rows => {
  const all: readonly Condition[] = [
    ...(query.id === undefined ? [] : [sql<SqlBool>`b.id = ${query.id}`]),
    ...seenBy(caller),
    ...conditionsOf(query),
  ]
  return all.reduce<Rows>((rows, condition) => rows.where(condition), from(db))
}

/** The newest restores that are shown with a backup; all are at /v1/restores. */
const MOST_OPERATIONS = 20

const joined = (rows: Rows) =>
  rows
    .innerJoin('jobs as j', 'j.id', 'b.job_id')
    .innerJoin('job_versions as jv', (join) =>
      join.onRef('jv.job_id', '=', 'b.job_id').onRef('jv.version', '=', 'b.job_version'),
    )
    .leftJoin('vaults as v', 'v.id', 'b.vault_id')
    .innerJoin('encryption_keys as k', (join) =>
      join.on(sql`k.id`, '=', sql`coalesce(v.encryption_key_id, jv.encryption_key_id)`),
    )
    .innerJoin('storages as s', (join) =>
      join.on(sql`s.id`, '=', sql`coalesce(v.storage_id, jv.storage_id)`),
    )
    .selectAll('b')
    .select([
      'j.name as job_name',
      'k.id as key_id',
      'k.type as key_type',
      'k.recipient as key_recipient',
      's.prefix as storage_prefix',
    ])
    .select(
      sql<string[]>`array(select r.id::text from restores r
        where r.backup_id = b.id and r.status in ('pending', 'running')
        order by r.created_at desc, r.id desc)`.as('open_restores'),
    )
    .select(
      // Index: restores_by_backup.
      sql<readonly JsonObject[]>`coalesce((select jsonb_agg(r) from (
        select status, started_at, completed_at, error, triggered_by from restores
        where backup_id = b.id order by created_at desc, id desc limit ${MOST_OPERATIONS}) r), '[]'::jsonb)`.as(
        'restores',
      ),
    )

/** The key and the storage are those of the vault that holds it; before there is one, those of the version that runs. */
export const withColumns = (rows: Rows): ReturnType<typeof joined> => joined(rows)
