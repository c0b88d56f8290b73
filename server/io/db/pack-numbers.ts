import { type RawBuilder, sql } from 'kysely'

/**
 * `pack_no = ${anyOf(packs)}`. An array parameter, because the planner sees how long it is: the same numbers out of a jsonb
 * parameter count as a hundred, and a commit of 65,000 packs was planned as a nested loop of two minutes (now 0.1 s).
 */
export const anyOf = (packs: readonly number[]): RawBuilder<unknown> =>
  sql`any(${[...packs]}::bigint[])`
