/** The protocol that this program speaks, and the oldest that it still understands (PROTOCOL.md, "Versions"). */
export const PROTOCOL = { current: 1, oldest: 1 } as const

export type VersionRange = { readonly current: number; readonly oldest: number }

/** The highest version that both ends understand, or `null`. */
export const agree = (ours: VersionRange, theirs: VersionRange): number | null => {
  const version = Math.min(ours.current, theirs.current)
  return version >= Math.max(ours.oldest, theirs.oldest) ? version : null
}

/** `3`, or `2 to 3`. */
export const showRange = ({ current, oldest }: VersionRange): string =>
  oldest === current ? String(current) : `${String(oldest)} to ${String(current)}`
