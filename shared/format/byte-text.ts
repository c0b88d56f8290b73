/** Byte strings in JSON: text where they are valid UTF-8, else a base64 twin. FORMAT.md, "Byte strings". */
import { isUtf8 } from 'node:buffer'
import { fail } from '../errors.ts'
import type { Bytes } from './tree-order.ts'

/** Printable ASCII without quote and backslash: the same bytes, text and JSON. Nearly all names are such. */
const PLAIN = /^[ !#-[\]-~]*$/
const ASCII = /^[\0-\x7f]*$/
const WIDE = /[^\0-\xff]/

export const isPlain = (text: string): boolean => PLAIN.test(text)

/** A JSON string, as `JSON.stringify` writes it. */
export const jsonText = (text: string): string =>
  PLAIN.test(text) ? `"${text}"` : JSON.stringify(text.toWellFormed())

/** One field of a JSON object: `"key":"text"`, or `"twin":"base64"` where the bytes are not valid UTF-8. */
export const bytesField = (key: string, twin: string, bytes: Bytes): string => {
  if (PLAIN.test(bytes)) return `"${key}":"${bytes}"`
  if (WIDE.test(bytes)) throw new RangeError('a byte string has a character beyond a byte')
  const raw = Buffer.from(bytes, 'latin1')
  if (isUtf8(raw)) return `"${key}":${JSON.stringify(raw.toString('utf8'))}`
  return `"${twin}":"${raw.toString('base64')}"`
}

/**
 * The byte string of such a field, `undefined` where both are absent. `DAMAGED` where both are there, the text has a
 * lone surrogate, or the twin is not canonical base64 of bytes that are not valid UTF-8.
 */
export const parseBytes = (text: unknown, twin: unknown): Bytes | undefined => {
  if (twin !== undefined) return parseTwin(text, twin)
  if (text === undefined) return undefined
  if (typeof text !== 'string') throw damaged('it is not text')
  if (ASCII.test(text)) return text
  if (!text.isWellFormed()) throw damaged('it has half a character')
  return Buffer.from(text, 'utf8').toString('latin1')
}

const parseTwin = (text: unknown, twin: unknown): Bytes => {
  if (text !== undefined || typeof twin !== 'string') throw damaged('it has text and twin')
  const raw = Buffer.from(twin, 'base64')
  if (raw.toString('base64') !== twin || isUtf8(raw)) throw damaged('its twin is not canonical')
  return raw.toString('latin1')
}

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'A byte string', problem })
