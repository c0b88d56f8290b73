import { type Kysely, type Selectable, type SelectQueryBuilder, sql } from 'kysely'
import type { Token } from '#shared/api/tokens.ts'
import type { Id } from '#shared/ids.ts'
import type { Random } from '#shared/world.ts'
import type { Caller } from '../../core/caller.ts'
import type { Tokens } from '../../ports.ts'
import type { IssuedTokens } from '../../ports/tokens.ts'
import { hashToken, makeToken } from '../secrets.ts'
import { audit } from './audit.ts'
import { takeRoom } from './limits.ts'
import { isoOrNull, mapPage, readPage } from './pages.ts'
import { hold } from './hold.ts'
import type { Schema } from './schema.ts'

const COLUMNS = [
  'id',
  'name',
  'scopes',
  'project_id',
  'expires_at',
  'last_used_at',
  'created_at',
] as const

type Row = Pick<Selectable<Schema['tokens']>, (typeof COLUMNS)[number]>

const shape = (row: Row): Token => ({
  id: row.id,
  name: row.name,
  scopes: [...row.scopes],
  project_id: row.project_id,
  expires_at: isoOrNull(row.expires_at),
  last_used_at: isoOrNull(row.last_used_at),
  created_at: row.created_at.toISOString(),
})

const SORTS = {
  created_at: { by: sql.ref('created_at'), type: 'timestamptz' },
  name: { by: sql.ref('name'), type: 'text' },
} as const

const visible = (db: Kysely<Schema>, caller: Caller): SelectQueryBuilder<Schema, 'tokens', Row> => {
  const all = db
    .selectFrom('tokens')
    .select(COLUMNS)
    .where('org_id', '=', caller.organization)
    .where('revoked_at', 'is', null)
  return caller.project === null ? all : all.where('project_id', '=', caller.project)
}

export const tokensIn = (db: Kysely<Schema>): Tokens => ({
  // Only the SHA-256 is looked up, by an index: how long that takes says nothing about the bits of any token.
  find: async (token) => {
    const hash = hashToken(token)
    if (hash === null) return null
    const row = await db
      .selectFrom('tokens')
      .where('hash', '=', hash)
      .where('revoked_at', 'is', null)
      .where(sql<boolean>`(expires_at is null or expires_at > hf_now())`)
      .select(['id', 'org_id', 'project_id', 'name', 'scopes', 'expires_at'])
      .select(
        sql<boolean>`last_used_at is null or last_used_at < hf_now() - interval '1 minute'`.as(
          'unnoted',
        ),
      )
      .executeTakeFirst()
    if (row === undefined) return null
    if (row.unnoted)
      await db
        .updateTable('tokens')
        .set({ last_used_at: sql<Date>`hf_now()` })
        .where('id', '=', row.id)
        .execute()
    return {
      organization: row.org_id,
      token: row.id,
      name: row.name,
      scopes: row.scopes,
      project: row.project_id,
      expiresAt: row.expires_at?.getTime() ?? null,
    }
  },
})

export type TokenParts = { readonly random: Random; makeId<Kind extends string>(): Id<Kind> }

export const issuedTokensIn = (db: Kysely<Schema>, parts: TokenParts): IssuedTokens => ({
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
  add: async (caller, wanted) =>
    db.transaction().execute(async (trx) => {
      await takeRoom(trx, caller, 'tokens')
      if (wanted.project !== null) await hold(trx, ['project', wanted.project])
      const { token, hash } = makeToken(parts.random)
      const row = await trx
        .insertInto('tokens')
        .values({
          id: parts.makeId<'token'>(),
          org_id: caller.organization,
          project_id: wanted.project,
          name: wanted.name,
          hash,
          scopes: [...wanted.scopes],
          expires_at: wanted.expiresAt === null ? null : new Date(wanted.expiresAt),
        })
        .returning(COLUMNS)
        .executeTakeFirstOrThrow()
      await audit(trx, [caller, parts.makeId<'audit entry'>()], {
        action: 'token.made',
        subject: ['token', row.id],
        details: { name: row.name, scopes: row.scopes, project_id: row.project_id },
      })
      return { ...shape(row), token }
    }),
  revoke: async (caller, id) =>
    db.transaction().execute(async (trx) => {
      const there = await visible(trx, caller).where('id', '=', id).forUpdate().executeTakeFirst()
      if (there === undefined) return false
      await trx
        .updateTable('tokens')
        .set({ revoked_at: sql<Date>`hf_now()` })
        .where('id', '=', id)
        .execute()
      await audit(trx, [caller, parts.makeId<'audit entry'>()], {
        action: 'token.revoked',
        subject: ['token', id],
        details: { name: there.name },
      })
      return true
    }),
})
