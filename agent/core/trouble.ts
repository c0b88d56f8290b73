/** Since when something has been failing, and whether that is long enough to stop trying. */
import type { Ms } from '#shared/units.ts'
import type { Patience } from './patience.ts'

/** Since when it has been failing, and been refused without a break. */
export type Trouble = { readonly since: Ms; readonly refusedSince: Ms | null }

/** After one more failure; `refused`: the other end said no, and was not just busy. */
export const troubleAfter = (before: Trouble | null, refused: boolean, now: Ms): Trouble => ({
  since: before?.since ?? now,
  refusedSince: refused ? (before?.refusedSince ?? now) : null,
})

export const isOver = (
  { since, refusedSince }: Trouble,
  now: Ms,
  patience: Pick<Patience, 'away' | 'refused'>,
): boolean =>
  now - since >= patience.away || (refusedSince !== null && now - refusedSince >= patience.refused)
