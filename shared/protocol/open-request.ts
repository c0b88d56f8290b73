/** What both ends and the holder of a customer's key say about opening packs in the same words. PROTOCOL.md, "Opening". */
import { createHash } from 'node:crypto'
import { toBase64url } from '../format/bytes.ts'
import { sha256 } from '../format/keys.ts'
import type { PackNo } from '../format/locator.ts'

/** What each thing that is handed to an opener is sealed for: `opening` is the open request, or the run without one. */
export const sealedFor = {
  record: (opening: string): string => `open-request/${opening}/record`,
  idKey: (opening: string): string => `open-request/${opening}/id-key`,
  object: (opening: string, no: PackNo): string => `open-request/${opening}/object/${String(no)}`,
} as const

/**
 * SHA-256 (base64url) that stands for a set of packs where somebody signs: of the line `holdfast/packs/v1` and one line
 * for each number, decimal, strictly ascending; every line ends with a line feed. RangeError where they do not ascend.
 */
export const packsSha256 = (ascending: Iterable<PackNo>): string => {
  const hash = createHash('sha256').update('holdfast/packs/v1\n')
  let last = 0
  for (const no of ascending) {
    if (no <= last) throw new RangeError('pack numbers must ascend')
    hash.update(`${String(no)}\n`)
    last = no
  }
  return hash.digest('base64url')
}

/** By which a person knows an opener: SHA-256 (base64url) of an agent's signing key, or of a program's X25519 key. */
export const openerFingerprint = (key: Uint8Array): string => toBase64url(sha256(key))
