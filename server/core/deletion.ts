/** Deleting without reading: how long things stay, and which packs are worth writing anew. FORMAT.md, "Commit, …"; pure. */
import { DAY, HOUR, MiB, type Ms } from '#shared/units.ts'

/** Between the mark and the deletion, of backups and of packs alike; so long can a backup be brought back. */
export const GRACE: Ms = 72 * HOUR
/** What a run stored that ended without a backup is kept so long for the one that goes on with it. */
export const RESUMABLE: Ms = 72 * HOUR

/** A pack is retired when what its newest users need of it is less than this share. */
const MOSTLY_DEAD = 0.5
/** Older users must be known to go within this span: else the pack stays anyway, and its content would lie there twice. */
export const USERS_GO_WITHIN: Ms = 30 * DAY

export const SMALL_PACK = MiB
/** A vault with more small packs than this has them written anew. */
export const MOST_SMALL_PACKS = 1000

/** A pack that backups use, as retiring looks at it. */
export type UsedPack = {
  readonly no: number
  readonly size: number
  /** Bytes that the newest backups of all jobs use, and the most that one ever used: each reference counts in full. */
  readonly live: number
  readonly most: number
  /** Some older backup uses it and is not known to go within `USERS_GO_WITHIN`. */
  readonly isHeld: boolean
}

const isMostlyDead = ({ live, most, isHeld }: UsedPack): boolean =>
  live > 0 && !isHeld && live < MOSTLY_DEAD * most

/** @param small how many packs below `SMALL_PACK` the vault has that are not retired. */
export const packsToRetire = (packs: readonly UsedPack[], small: number): readonly number[] => {
  const tooMany = small > MOST_SMALL_PACKS
  return packs
    .filter((pack) => isMostlyDead(pack) || (tooMany && pack.live > 0 && pack.size < SMALL_PACK))
    .map(({ no }) => no)
}
