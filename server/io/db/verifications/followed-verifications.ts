import { type Kysely, sql } from 'kysely'
import type { Followable } from '../../../ports/following.ts'
import { newest, type Newest, positionOf, storedIn } from '../following.ts'
import type { Schema } from '../schema.ts'
import { NAMES } from './names.ts'
import { progressIn, type VerificationRow } from './verification-shape.ts'

export const followedVerifications = (db: Kysely<Schema>): Followable => ({
  ...storedIn(db, NAMES),
  stand: async (id) => {
    const { rows } = await sql<VerificationRow & Newest>`
      select v.*, ${newest(NAMES, id)} from verifications v where v.id = ${id}::uuid`.execute(db)
    const [row] = rows
    if (row === undefined) return null
    return {
      at: positionOf(row),
      over: row.status !== 'pending' && row.status !== 'running',
      progress: { status: row.status, ...progressIn(row.progress) },
    }
  },
})
