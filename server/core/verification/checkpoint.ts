/** How far a verification of objects is, and what it has found: kept with its claim, so that whoever takes it up goes on. */
import { bytes, count, oneOf } from '#shared/api/shapes.ts'
import { type Static, Type } from '#shared/schema.ts'

/** What is remembered of damaged objects; of more than these only the number. */
export const MOST_DAMAGED = 100

const Damaged = Type.Object({
  /** Its pack number; null: one of the vault itself. */
  no: Type.Union([count, Type.Null()]),
  key: Type.String(),
  code: Type.String(),
  problem: Type.String(),
  /** Without it nothing of the backup can be read. */
  whole: Type.Boolean(),
})

export const Checkpoint = Type.Object({
  /** Which objects are in the sample, and how many of them: 1 is all. */
  seed: Type.String(),
  share: Type.Number({ minimum: 0, maximum: 1 }),
  /** Of the share: as far as it can be known beforehand. */
  bytes_total: bytes,
  /** First the objects that hold fence and pack table, then the rows of the pack table; each by ascending number. */
  stage: oneOf('structure', 'packs'),
  /** The last number that was looked at; 0 is none. */
  after: count,
  objects: count,
  bytes,
  damaged: Type.Array(Damaged, { maxItems: MOST_DAMAGED }),
  damaged_count: count,
})

export type Checkpoint = Static<typeof Checkpoint>
export type Damaged = Static<typeof Damaged>
