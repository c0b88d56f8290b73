/** How many bytes of each pack a backup uses: each reference counts its decoded length, so 0 means unused. */
import type { Locator, PackNo } from '#shared/format/locator.ts'

export type Uses = readonly (readonly [pack: PackNo, bytes: number])[]

export type Ledger = {
  add(pack: PackNo, bytes: number): void
  has(pack: PackNo): boolean
  uses(): Uses
}

/** Begins with what is given; entries that fall to zero vanish. */
export const createLedger = (start: Uses = []): Ledger => {
  const live = new Map<PackNo, number>(start)
  return {
    add: (pack, bytes) => {
      const sum = (live.get(pack) ?? 0) + bytes
      if (sum === 0) live.delete(pack)
      else live.set(pack, sum)
    },
    has: (pack) => live.has(pack),
    uses: () => [...live].sort(([a], [b]) => a - b),
  }
}

export const usesOf = (locators: readonly Locator[]): Uses => {
  const ledger = createLedger()
  for (const locator of locators) ledger.add(locator[0], locator[4])
  return ledger.uses()
}

export const addUses = (ledger: Ledger, uses: Uses): void => {
  for (const [pack, bytes] of uses) ledger.add(pack, bytes)
}

export const removeUses = (ledger: Ledger, uses: Uses): void => {
  for (const [pack, bytes] of uses) ledger.add(pack, -bytes)
}

/** Both together, ascending by pack. */
export const mergeUses = (a: Uses, b: Uses): Uses => {
  const ledger = createLedger(a)
  addUses(ledger, b)
  return ledger.uses()
}

/** What differs from `before`, with 0 for packs no longer used. */
export const changedUses = (before: Uses, after: Uses): Uses => {
  const old = new Map(before)
  const changes = after.filter(([pack, bytes]) => old.get(pack) !== bytes)
  const now = new Set(after.map(([pack]) => pack))
  const dropped = before.filter(([pack]) => !now.has(pack)).map(([pack]) => [pack, 0] as const)
  return [...changes, ...dropped].sort(([a], [b]) => a - b)
}
