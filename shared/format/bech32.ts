/** Bech32 (BIP 173) as age uses it: no limit on the length, one case throughout. FORMAT.md, "Keys as text". */

const ALPHABET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
const CHECKSUM = 6

const polymod = (values: readonly number[]): number => {
  let sum = 1
  for (const value of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (const [bit, g] of GENERATOR.entries()) if (((top >> bit) & 1) === 1) sum ^= g
  }
  return sum
}

const expand = (prefix: string): number[] => {
  const codes = [...Buffer.from(prefix, 'latin1')]
  return [...codes.map((c) => c >> 5), 0, ...codes.map((c) => c & 31)]
}

const toWords = (bytes: Uint8Array): number[] => {
  const words: number[] = []
  let held = 0
  let bits = 0
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff
    for (bits += 8; bits >= 5; bits -= 5) words.push((held >> (bits - 5)) & 31)
  }
  if (bits > 0) words.push((held << (5 - bits)) & 31)
  return words
}

/** `null` when loose bits at the end are not zero, or are a whole word too many. */
const toBytes = (words: readonly number[]): Uint8Array | null => {
  const bytes: number[] = []
  let held = 0
  let bits = 0
  for (const word of words) {
    held = ((held << 5) | word) & 0xfff
    bits += 5
    if (bits < 8) continue
    bits -= 8
    bytes.push((held >> bits) & 0xff)
  }
  const loose = held & ((1 << bits) - 1)
  return bits >= 5 || loose !== 0 ? null : Uint8Array.from(bytes)
}

/** Lower case text of `bytes` under `prefix` (lower case, printable ASCII). */
export const encodeBech32 = (prefix: string, bytes: Uint8Array): string => {
  const words = toWords(bytes)
  const sum = polymod([...expand(prefix), ...words, 0, 0, 0, 0, 0, 0]) ^ 1
  const check = Array.from({ length: CHECKSUM }, (_, i) => (sum >>> (5 * (5 - i))) & 31)
  return `${prefix}1${[...words, ...check].map((w) => ALPHABET.charAt(w)).join('')}`
}

/** Prefix (in the case as given) and bytes; `null` for mixed case, foreign characters, a wrong checksum, loose bits. */
export const decodeBech32 = (
  text: string,
): { readonly prefix: string; readonly bytes: Uint8Array } | null => {
  const lower = text.toLowerCase()
  if (text !== lower && text !== text.toUpperCase()) return null
  if (!/^[\x21-\x7e]+$/.test(text)) return null
  const split = text.lastIndexOf('1')
  if (split < 1 || text.length - split - 1 < CHECKSUM) return null
  const words = lower
    .slice(split + 1)
    .split('')
    .map((c) => ALPHABET.indexOf(c))
  if (words.includes(-1)) return null
  if (polymod([...expand(lower.slice(0, split)), ...words]) !== 1) return null
  const bytes = toBytes(words.slice(0, -CHECKSUM))
  return bytes === null ? null : { prefix: text.slice(0, split), bytes }
}
