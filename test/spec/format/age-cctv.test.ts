/** The whole published set of age vectors (C2SP CCTV): each is opened or refused, for the reason that it gives. */
import { createHash } from 'node:crypto'
import { inflateSync } from 'node:zlib'
import * as cctv from 'cctv-age'
import { describe, expect, test } from 'vitest'
import {
  open,
  openPreamble,
  openSegments,
  parseHeader,
  SEALED_SEGMENT,
} from '#shared/format/age.ts'
import { toHex } from '#shared/format/bytes.ts'
import { type Identity, parseIdentity } from '#shared/format/keys.ts'
import { Failure } from '#shared/errors.ts'

type Vector = {
  readonly name: string
  readonly expect: string
  readonly payload: string
  readonly identities: readonly string[]
  readonly armored: boolean
  readonly passphrase: boolean
  readonly file: Uint8Array
}

const parse = (name: string, bytes: Uint8Array): Vector => {
  const split = Buffer.from(bytes).indexOf('\n\n')
  const head = Buffer.from(bytes.subarray(0, split)).toString('latin1').split('\n')
  const values = (key: string): string[] =>
    head.filter((line) => line.startsWith(`${key}: `)).map((line) => line.slice(key.length + 2))
  const body = bytes.subarray(split + 2)
  return {
    name,
    expect: values('expect')[0] ?? '',
    payload: values('payload')[0] ?? '',
    identities: values('identity'),
    armored: values('armored').length > 0,
    passphrase: values('passphrase').length > 0,
    file: values('compressed').includes('zlib') ? inflateSync(body) : body,
  }
}

const published = Object.entries(cctv as unknown as Record<string, Uint8Array>)
const vectors = published
  .filter(([name]) => name !== 'default' && name !== 'module.exports')
  .map(([name, bytes]) => parse(name, bytes))

const isHybrid = (text: string): boolean => text.startsWith('AGE-SECRET-KEY-PQ-')
const needs = (vector: Vector): string | null => {
  if (vector.armored) return 'armor'
  if (vector.identities.some((text) => !isHybrid(text))) return null
  if (vector.identities.length > 0) return 'hybrid keys'
  return vector.passphrase ? 'passphrase' : null
}

/** The identities that the product reads. */
const ours = (texts: readonly string[]): Identity[] =>
  texts.filter((text) => !isHybrid(text)).map(parseIdentity)

/** Nothing of the product reads these features, so their vectors say nothing about it. */
const NOT_APPLICABLE = {
  armor:
    'armor_crlf armor_empty armor_empty_last_line armor_empty_line_begin armor_empty_line_end armor_eol_between_padding armor_full_last_line armor_garbage_encoded armor_garbage_leading armor_garbage_trailing armor_header_crlf armor_headers armor_hybrid armor_invalid_character_header armor_invalid_character_payload armor_long_line armor_lowercase armor_no_end_line armor_no_eol armor_no_match armor_no_padding armor_not_canonical armor_pgp_checksum armor_scrypt armor_short_line armor_whitespace_begin armor_whitespace_end armor_whitespace_eol armor_whitespace_last_line armor_whitespace_line_start armor_whitespace_outside armor_wrong_type armor_x25519',
  passphrase:
    'scrypt scrypt_bad_tag scrypt_double scrypt_extra_argument scrypt_long_file_key scrypt_no_match scrypt_not_canonical_body scrypt_not_canonical_salt scrypt_salt_long scrypt_salt_missing scrypt_salt_short scrypt_uppercase scrypt_work_factor_23 scrypt_work_factor_hex scrypt_work_factor_leading_garbage scrypt_work_factor_leading_plus scrypt_work_factor_leading_zero_decimal scrypt_work_factor_leading_zero_octal scrypt_work_factor_missing scrypt_work_factor_negative scrypt_work_factor_overflow scrypt_work_factor_trailing_garbage scrypt_work_factor_wrong scrypt_work_factor_zero',
  'hybrid keys':
    'hybrid hybrid_and_x25519 hybrid_bad_tag hybrid_currupted_enc_mlkem hybrid_currupted_enc_x25519 hybrid_extra_argument hybrid_grease hybrid_identity hybrid_long_file_key hybrid_long_share hybrid_low_order hybrid_multiple_recipients hybrid_no_match hybrid_not_canonical_body hybrid_not_canonical_enc hybrid_short_share hybrid_uppercase',
} as const

const failure = (run: () => unknown): Failure => {
  try {
    run()
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('it was opened')
}

const opened = (
  key: Uint8Array,
  sealed: Uint8Array,
  segment: number,
  last: boolean,
): Uint8Array | null => {
  try {
    return openSegments(key, sealed, segment, last)
  } catch {
    return null
  }
}

/** Segment after segment: what a program that writes out what it has checked would have written before the damage. */
const readable = (vector: Vector): Buffer => {
  const { key, length } = openPreamble(vector.file, ours(vector.identities))
  const payload = vector.file.subarray(length)
  const parts: Uint8Array[] = []
  for (let i = 0; i * SEALED_SEGMENT < payload.length; i += 1) {
    const sealed = payload.subarray(i * SEALED_SEGMENT, (i + 1) * SEALED_SEGMENT)
    const more = opened(key, sealed, i, false)
    const part = more ?? opened(key, sealed, i, true)
    if (part !== null) parts.push(part)
    if (more === null) break
  }
  return Buffer.concat(parts)
}

const applicable = vectors.filter((vector) => needs(vector) === null)
const named = (expected: string): Vector[] => applicable.filter((one) => one.expect === expected)

describe('the published age vectors', () => {
  test('are all there, and those not applicable are exactly the listed ones', () => {
    const skipped = (reason: string): string =>
      vectors
        .filter((vector) => needs(vector) === reason)
        .map((vector) => vector.name)
        .join(' ')
    expect(vectors.length).toBe(143)
    expect(skipped('armor')).toBe(NOT_APPLICABLE.armor)
    expect(skipped('passphrase')).toBe(NOT_APPLICABLE.passphrase)
    expect(skipped('hybrid keys')).toBe(NOT_APPLICABLE['hybrid keys'])
    expect(applicable.length).toBe(69)
  })

  test.each(named('success'))('$name opens', ({ file, identities, payload }) => {
    const plaintext = open(file, ours(identities))
    expect(createHash('sha256').update(plaintext).digest('hex')).toBe(payload)
  })

  test.each(named('no match'))('$name is for somebody else', ({ file, identities }) => {
    expect(failure(() => open(file, ours(identities))).code).toBe('WRONG_KEY')
  })

  test.each([...named('header failure'), ...named('HMAC failure')])(
    '$name has a damaged header',
    ({ file, identities }) => {
      const error = failure(() => {
        parseHeader(file)
        return open(file, ours(identities))
      })
      expect([error.code, error.details['what']]).toEqual(['DAMAGED', 'An age header'])
    },
  )

  test.each(named('payload failure'))('$name has a damaged payload', (vector) => {
    const error = failure(() => open(vector.file, ours(vector.identities)))
    expect([error.code, error.details['what']]).toEqual(['DAMAGED', 'An age payload'])
    expect(toHex(createHash('sha256').update(readable(vector)).digest())).toBe(vector.payload)
  })
})
