/** What stands in the way of removing a row, with the first ids of each kind. */
import { type Kysely, type RawBuilder, sql } from 'kysely'
import { type Details, fail } from '#shared/errors.ts'
import type { Schema } from './schema.ts'

/** So many of each kind are named; all are counted. */
const MOST_NAMED = 10

/** `rows` selects one column, `id`. */
export type Dependents = { readonly kind: string; readonly rows: RawBuilder<unknown> }

type Found = { readonly count: number; readonly ids: string[] }

const look = async (trx: Kysely<Schema>, rows: RawBuilder<unknown>): Promise<Found> => {
  const { rows: found } = await sql<Found>`
    with dependents as (${rows})
    select (select count(*)::int from dependents) as count,
      array(select id::text from dependents order by id limit ${MOST_NAMED}) as ids`.execute(trx)
  return found[0] ?? { count: 0, ids: [] }
}

/** Throws `RESOURCE_HAS_DEPENDENCIES` with the number and ids of each kind, where there are any. */
export const refuseDependents = async (
  trx: Kysely<Schema>,
  [resource, id]: readonly [string, string],
  all: readonly Dependents[],
): Promise<void> => {
  const details: Record<string, Details[string]> = {}
  const words: string[] = []
  for (const { kind, rows } of all) {
    const { count, ids } = await look(trx, rows)
    if (count === 0) continue
    details[`${kind}_count`] = count
    details[`${kind}_ids`] = ids
    words.push(`${count} ${kind}`)
  }
  if (words.length > 0)
    throw fail('RESOURCE_HAS_DEPENDENCIES', {
      resource,
      id,
      dependents: words.join(', '),
      ...details,
    })
}
