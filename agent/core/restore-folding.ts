/** Names of one directory that some file systems take for one: they differ in case, or in how letters are composed. */
import type { Bytes } from '#shared/format/tree-order.ts'

/** Nothing of these can be folded. */
const PLAIN = /^[\x00-@[-`{-\x7fa-z]*$/
const ASCII = /^[\x00-\x7f]*$/

const foldOf = (name: Bytes): string => {
  if (PLAIN.test(name)) return name
  if (ASCII.test(name)) return name.toLowerCase()
  return Buffer.from(name, 'latin1').toString('utf8').normalize('NFC').toLowerCase()
}

export type Folding = {
  /** Whether an earlier name may be taken for this one. Names come in the order of their bytes. */
  isTwin(name: Bytes): boolean
}

/**
 * Of two names that fold to one, the first in the order of bytes has a capital, or an accent apart from its letter, where
 * the other has none: only such names need to be remembered.
 */
export const createFolding = (): Folding => {
  const folded = new Set<string>()
  return {
    isTwin: (name) => {
      const fold = foldOf(name)
      if (folded.has(fold)) return true
      if (fold !== name) folded.add(fold)
      return false
    },
  }
}
