/** One page of any list, by keyset: a page costs its own rows wherever it lies, and rows added meanwhile move none. */
import { type Kysely, type RawBuilder, type SelectQueryBuilder, sql, type SqlBool } from 'kysely'
import { MOST_COUNTED, type Page, type PageRequest } from '../../core/page.ts'
import { brokenConstraint } from './errors.ts'
import type { Schema } from './schema.ts'
import { fail } from '#shared/errors.ts'

/** What a list can be sorted by: never null (a null has no place in an order), with the type of its text form. */
export type SortKey = {
  readonly by: RawBuilder<unknown>
  readonly type: 'timestamptz' | 'text' | 'bigint'
}

export type PageParts = {
  readonly page: PageRequest
  readonly sorts: Readonly<Record<string, SortKey>>
  readonly id: RawBuilder<unknown>
}

type Place = { readonly page_value: string; readonly page_id: string }

const TYPES = {
  timestamptz: sql`timestamptz`,
  text: sql`text`,
  bigint: sql`bigint`,
} as const

const after = (parts: PageParts, key: SortKey): RawBuilder<SqlBool> | null => {
  const cursor = parts.page.after
  if (cursor === null) return null
  const place = sql`(${cursor.value}::text::${TYPES[key.type]}, ${cursor.id}::uuid)`
  return parts.page.sort.descending
    ? sql<SqlBool>`(${key.by}, ${parts.id}) < ${place}`
    : sql<SqlBool>`(${key.by}, ${parts.id}) > ${place}`
}

type Counted = { readonly total: number; readonly bytes: number }

/** How many rows there are, and what their `bytes` come to, of the first `MOST_COUNTED + 1` of them. */
export const countRows = async <DB, TB extends keyof DB, Row>(
  db: Kysely<Schema>,
  query: SelectQueryBuilder<DB, TB, Row>,
  bytes: RawBuilder<number> = sql`0`,
): Promise<Counted> => {
  const counted =
    await sql<Counted>`select count(*)::int as total, coalesce(sum(bytes), 0)::bigint as bytes
    from (${query
      .clearSelect()
      .select(bytes.as('bytes'))
      .limit(MOST_COUNTED + 1)}) as counted`.execute(db)
  return counted.rows[0] ?? { total: 0, bytes: 0 }
}

/** The rows of one page of `query`, and where the next begins. */
export const readRows = async <DB, TB extends keyof DB, Row>(
  db: Kysely<Schema>,
  query: SelectQueryBuilder<DB, TB, Row>,
  parts: PageParts,
): Promise<Pick<Page<Row>, 'items' | 'next'>> => {
  const { page } = parts
  const key = parts.sorts[page.sort.field]
  if (key === undefined) throw new RangeError(`no order by ${page.sort.field}`)
  const direction = page.sort.descending ? 'desc' : 'asc'
  const start = after(parts, key)
  const selected = (start === null ? query : query.where(start))
    .select([sql`(${key.by})::text`.as('page_value'), sql`${parts.id}::text`.as('page_id')])
    .orderBy(key.by, direction)
    .orderBy(parts.id, direction)
    .limit(page.limit + 1)
    .offset(page.offset)
  const { rows } = await sql<Row & Place>`${selected}`.execute(db)
  const placed = rows.map(({ page_value: value, page_id: id, ...item }) => ({
    next: { value, id },
    item: item as Row,
  }))
  return {
    items: placed.slice(0, page.limit).map(({ item }) => item),
    next: placed.length > page.limit ? (placed[page.limit - 1]?.next ?? null) : null,
  }
}

export const totalsOf = (total: number): Pick<Page<unknown>, 'total' | 'isLowerBound'> => ({
  total: Math.min(total, MOST_COUNTED),
  isLowerBound: total > MOST_COUNTED,
})

/** `query` selects and filters; the order, the place and the size of the page come from `parts`. */
export const readPage = async <DB, TB extends keyof DB, Row>(
  db: Kysely<Schema>,
  query: SelectQueryBuilder<DB, TB, Row>,
  parts: PageParts,
): Promise<Page<Row>> => {
  const rows = await readRows(db, query, parts)
  const { total } = await countRows(db, query)
  return { ...rows, ...totalsOf(total) }
}

/** Rows as they leave: the same page with every item shaped for the API. */
export const mapPage = <A, B>(page: Page<A>, shape: (row: A) => B): Page<B> => ({
  ...page,
  items: page.items.map(shape),
})

export const isoOrNull = (at: Date | null): string | null => at?.toISOString() ?? null

/** Runs `insert`; the constraint that keeps names unique answers as `CONFLICT`. */
export const withUniqueName = async <T>(
  [constraint, what, name]: readonly [constraint: string, what: string, name: string],
  insert: () => Promise<T>,
): Promise<T> => {
  try {
    return await insert()
  } catch (error) {
    if (brokenConstraint(error) !== constraint) throw error
    throw fail(
      'CONFLICT',
      { problem: `There is already ${what} named "${name}"`, field: 'name', name },
      { cause: error },
    )
  }
}
