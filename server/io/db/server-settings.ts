import { type Kysely, type Selectable, sql } from 'kysely'
import { PRIORITIES, type ServerSettings } from '#shared/api/server-settings.ts'
import { limitFields, UNLIMITED } from '#shared/limits.ts'
import { parser, Type } from '#shared/schema.ts'
import { oneOf } from '#shared/api/shapes.ts'
import type { ServerId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { AgentSettings, ServerSettingsRows } from '../../ports/server-settings.ts'
import { isoOrNull } from './pages.ts'
import type { Schema } from './schema.ts'

const DEFAULTS: AgentSettings = { ...UNLIMITED, priority: 'low' }

/** What stands in the column: what somebody said, and nothing else. */
const parse = parser(Type.Partial(Type.Object({ ...limitFields, priority: oneOf(...PRIORITIES) })))

export const settingsIn = (settings: unknown): AgentSettings => {
  const parsed = parse(settings)
  return 'ok' in parsed ? { ...DEFAULTS, ...parsed.ok } : DEFAULTS
}

type Row = Pick<Selectable<Schema['servers']>, 'id' | 'settings' | 'settings_at'>

const shape = (row: Row): ServerSettings => ({
  server_id: row.id,
  ...settingsIn(row.settings),
  updated_at: isoOrNull(row.settings_at),
})

const get = async (db: Kysely<Schema>, caller: Caller, id: ServerId): Promise<Row | undefined> => {
  const rows = db
    .selectFrom('servers')
    .select(['id', 'settings', 'settings_at'])
    .where('id', '=', id)
    .where('org_id', '=', caller.organization)
    .where('deleted_at', 'is', null)
  const { project } = caller
  const seen = project === null ? rows : rows.where('project_id', '=', project)
  return seen.forUpdate().executeTakeFirst()
}

export const serverSettingsIn = (db: Kysely<Schema>): ServerSettingsRows => ({
  get: async (caller, id) => {
    const row = await get(db, caller, id)
    return row === undefined ? null : shape(row)
  },
  change: async (caller, id, change) =>
    db.transaction().execute(async (trx) => {
      const row = await get(trx, caller, id)
      if (row === undefined) return null
      if (Object.keys(change).length === 0) return shape(row)
      const changed = await trx
        .updateTable('servers')
        .set({ settings: { ...row.settings, ...change }, settings_at: sql<Date>`hf_now()` })
        .where('id', '=', id)
        .returning(['id', 'settings', 'settings_at'])
        .executeTakeFirstOrThrow()
      return shape(changed)
    }),
})
