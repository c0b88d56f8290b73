/**
 * Which retired packs a run leaves: what it still needs of them is read again and written anew. Nothing new counts on a
 * retired pack that the run does not use anyway. FORMAT.md, "Commit, and deleting without reading".
 */
import type { PackNo } from '#shared/format/locator.ts'
import { MiB } from '#shared/units.ts'
import { mergeUses, type Uses } from './live.ts'

/** Read again in one run at most: a tenth of what the backup before used, and not less than this. */
const LEAST_BUDGET = 256 * MiB
const SHARE = 0.1

type Parent = { readonly content: Uses; readonly structure: Uses }

/** Cheapest first, so that most packs die soonest; the rest has its turn in later runs. */
export const packsToLeave = (
  retired: readonly PackNo[],
  parent: Parent | null,
): ReadonlySet<PackNo> => {
  const uses = parent === null ? [] : mergeUses(parent.content, parent.structure)
  const live = new Map(uses)
  const budget = Math.max(LEAST_BUDGET, SHARE * uses.reduce((sum, [, bytes]) => sum + bytes, 0))
  const byCost = retired
    .map((pack) => ({ pack, bytes: live.get(pack) ?? 0 }))
    .sort((a, b) => a.bytes - b.bytes || a.pack - b.pack)
  const left = new Set<PackNo>()
  let spent = 0
  for (const { pack, bytes } of byCost) {
    spent += bytes
    if (spent > budget) break
    left.add(pack)
  }
  return left
}
