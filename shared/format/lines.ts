/**
 * What every kind of segment is: a header line, then lines of JSON, named by the SHA-256 of its bytes. FORMAT.md,
 * "Segments".
 */
import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import { fail, problemOf } from '../errors.ts'
import { KiB, MiB } from '../units.ts'
import { toBase64url, view } from './bytes.ts'
import { isSize, type Locator } from './locator.ts'
import { checkReadable, FORMAT } from './version.ts'

/** Most bytes of a segment: what is cut at 1 MiB, and its header line. */
export const MAX_SEGMENT = MiB + 128 * KiB

export type SegmentFormat =
  'holdfast/tree/v1' | 'holdfast/fence/v1' | 'holdfast/packs/v1' | 'holdfast/content/v1'

export type Sealed = { readonly bytes: Uint8Array; readonly sha256: Uint8Array }

/** A line that lies somewhere as UTF-8 already: bytes `[from, to)`. */
export type StoredLine = { readonly raw: Buffer; readonly from: number; readonly to: number }

export type Line = string | StoredLine

export const lineLength = (line: Line): number =>
  typeof line === 'string' ? Buffer.byteLength(line) : line.to - line.from

const isText = (line: Line): line is string => typeof line === 'string'

const NEWLINE = 0x0a

/** `extra`: the header's further fields as JSON text, each with a comma before it. */
export const encodeLines = (
  format: SegmentFormat,
  extra: string,
  lines: readonly Line[],
): Sealed => {
  const header = `{"format":"${format}","lines":${lines.length}${extra}}\n`
  const bytes = lines.every(isText) ? joined(header, lines) : gathered(header, lines)
  if (bytes.length > MAX_SEGMENT) throw new RangeError('a segment is over 1 MiB and its header')
  return { bytes, sha256: hash('sha256', bytes, 'buffer') }
}

const joined = (header: string, lines: readonly string[]): Buffer =>
  Buffer.from(lines.length === 0 ? header : `${header}${lines.join('\n')}\n`)

const gathered = (header: string, lines: readonly Line[]): Buffer => {
  let size = Buffer.byteLength(header)
  for (const line of lines) size += lineLength(line) + 1
  const bytes = Buffer.allocUnsafe(size)
  let at = bytes.write(header)
  for (const line of lines) {
    if (isText(line)) at += bytes.write(line, at)
    else at += line.raw.copy(bytes, at, line.from, line.to)
    bytes[at] = NEWLINE
    at += 1
  }
  return bytes
}

export type Header = {
  readonly format?: unknown
  readonly requires?: unknown
  readonly lines?: unknown
  readonly level?: unknown
  readonly dir?: unknown
  readonly dirb?: unknown
}

/** Header and lines of a segment. `DAMAGED` where they are not of `format` or do not add up, `UNSUPPORTED` where it requires a feature. */
export const decodeLines = (
  bytes: Uint8Array,
  format: SegmentFormat,
): { readonly header: Header; readonly lines: readonly string[] } => {
  if (bytes.length > MAX_SEGMENT || !isUtf8(bytes)) throw damaged('it is too long or no text')
  const lines = view(bytes).toString('utf8').split('\n')
  if (lines.pop() !== '') throw damaged('its last line has no end')
  const header = parseHeader(lines.shift() ?? '')
  checkHeader(WHAT, header, format)
  if (header.lines !== lines.length) throw damaged('lines are missing or too many')
  return { header, lines }
}

/**
 * Refuses another kind (`DAMAGED`), a later version of this kind, and a required feature that is unknown here
 * (`UNSUPPORTED`). `format` ends in `/v1`.
 */
export const checkHeader = (
  what: string,
  header: { readonly format?: unknown; readonly requires?: unknown },
  format: string,
): void => {
  const kind = format.slice(0, format.lastIndexOf('/') + 1)
  const found = typeof header.format === 'string' ? header.format : ''
  if (found !== format && found.startsWith(kind))
    throw fail('UNSUPPORTED', { what, feature: found })
  if (found !== format)
    throw fail('DAMAGED', { what, problem: `it is not of the format ${format}` })
  const requires: unknown = header.requires ?? []
  if (!isTexts(requires)) throw fail('DAMAGED', { what, problem: 'what it requires is no list' })
  checkReadable(what, FORMAT, requires)
}

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')

/** Level in a shallow tree of segments: 0 for leaves; eight levels hold more than can be. */
export const levelOf = (header: Header): number => {
  if (!isSize(header.level) || header.level > 8) throw damaged('its level cannot be')
  return header.level
}

/** Refuses bytes that are not the segment that the locator names. */
export const verifySegment = (
  bytes: Uint8Array,
  locator: Locator | readonly [...Locator, ...unknown[]],
): void => {
  if (bytes.length !== locator[4] || toBase64url(hash('sha256', bytes, 'buffer')) !== locator[5]) {
    throw damaged('its SHA-256 is not the one in its locator')
  }
}

/** One line as JSON, an object or a list. */
export const parseJson = (line: string): unknown => {
  try {
    const value: unknown = JSON.parse(line)
    return value
  } catch (error) {
    throw fail('DAMAGED', { what: WHAT, problem: problemOf(error) }, { cause: error })
  }
}

const isHeader = (value: unknown): value is Header =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const parseHeader = (line: string): Header => {
  const value = parseJson(line)
  if (!isHeader(value)) throw damaged('its header is not an object')
  return value
}

const WHAT = 'A segment'
const damaged = (problem: string): Error => fail('DAMAGED', { what: WHAT, problem })
