/** Milliseconds since the Unix epoch, or a span in milliseconds. */
export type Ms = number

export const SECOND: Ms = 1000
export const MINUTE: Ms = 60 * SECOND
export const HOUR: Ms = 60 * MINUTE
export const DAY: Ms = 24 * HOUR

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB
export const TiB = 1024 * GiB

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** Bytes for people: `0 B`, `999 B`, `1.5 KiB`, `12.3 GiB`. Negative or fractional input is a caller's mistake. */
export const formatBytes = (bytes: number): string => {
  let value = bytes
  let unit = 0
  while (value >= 1023.95 && unit < SIZES.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${SIZES[unit] ?? 'B'}`
}

const POWERS = 'kmgtp'

/** Bytes from what people write: `500`, `20 MiB`, `1.5g`; units of 1024. Null for anything else, and for 0. */
export const parseSize = (text: string): number | null => {
  const [, number, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?\s*$/i.exec(text) ?? []
  const power = unit === '' ? 0 : POWERS.indexOf(unit.toLowerCase()) + 1
  const bytes = Math.round(Number(number ?? 'none') * 1024 ** power)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null
}

/** A span for people: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`. */
export const formatSpan = (ms: Ms): string => {
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`
  const seconds = Math.round(ms / SECOND)
  if (seconds < 60) return `${String(seconds)} s`
  const two = (n: number): string => String(n).padStart(2, '0')
  if (seconds < 3600) return `${String(Math.floor(seconds / 60))} min ${two(seconds % 60)} s`
  return `${String(Math.floor(seconds / 3600))} h ${two(Math.floor((seconds % 3600) / 60))} min`
}

/** A count for people, in groups of three: `106,624`. */
export const formatCount = (n: number): string => String(n).replace(/\B(?=(\d{3})+$)/g, ',')
