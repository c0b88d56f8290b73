/** A secret in every form in which a program may hold or pass it, to be searched for. */
import { createHmac } from 'node:crypto'

export type Needle = {
  /** Whose secret. */
  readonly secret: string
  readonly form: string
  readonly bytes: Uint8Array
}

/** Shorter pieces would be found by chance in gigabytes, and make the search slow. */
const LEAST = 16

type Form = readonly [string, string]

/**
 * base64 of something that contains `bytes`: where they begin in the group of three decides the characters. Those that
 * also depend on what stands before or behind are left out.
 */
const base64Forms = (bytes: Uint8Array, alphabet: 'base64' | 'base64url'): Form[] =>
  [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString(alphabet)
    const start = Math.ceil((before * 8) / 6)
    const end = Math.floor(((before + bytes.length) * 8) / 6)
    return [`${alphabet} ${before}`, text.slice(start, end)]
  })

const textForms = (bytes: Uint8Array): Form[] => {
  const hex = Buffer.from(bytes).toString('hex')
  return [
    ['hex', hex],
    ['HEX', hex.toUpperCase()],
    ...base64Forms(bytes, 'base64'),
    ...base64Forms(bytes, 'base64url'),
  ]
}

/** A text as it is, and as the two-byte strings of JavaScript hold it. */
const asBytes = ([form, text]: Form): (readonly [string, Buffer])[] => [
  [form, Buffer.from(text, 'utf8')],
  [`${form} in UTF-16`, Buffer.from(text, 'utf16le')],
]

const distinct = (secret: string, forms: readonly (readonly [string, Buffer])[]): Needle[] => {
  const seen = new Set<string>()
  return forms.flatMap(([form, bytes]) => {
    const key = bytes.toString('latin1')
    if (bytes.length < LEAST || seen.has(key)) return []
    seen.add(key)
    return [{ secret, form, bytes }]
  })
}

/** Of 32 bytes, the first and the last are left out: X25519 libraries keep them with some bits set or cleared. */
export const needlesOfKey = (secret: string, key: Uint8Array): Needle[] =>
  distinct(secret, [
    ['raw', Buffer.from(key.subarray(1, -1))],
    ...textForms(key).flatMap(asBytes),
    ...textForms(key.subarray(1, -1)).flatMap(asBytes),
  ])

/** Bytes as they are, of any length from 16 on. */
export const needlesOfBytes = (secret: string, bytes: Uint8Array): Needle[] =>
  distinct(secret, [['raw', Buffer.from(bytes)], ...textForms(bytes).flatMap(asBytes)])

export const needlesOfText = (secret: string, text: string): Needle[] =>
  distinct(secret, [
    ...asBytes(['text', text]),
    ...asBytes(['lower case', text.toLowerCase()]),
    ...textForms(Buffer.from(text, 'utf8')).flatMap(asBytes),
  ])

const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac('sha256', key).update(text).digest()

/** The keys that Signature Version 4 derives from a secret: whoever has one of them signs what he likes for that day. */
export const needlesOfSigning = (secret: string, text: string, region: string): Needle[] =>
  [-1, 0, 1].flatMap((shift) => {
    const day = new Date(Date.now() + shift * 86_400_000).toISOString().slice(0, 10)
    const dayKey = hmac(`AWS4${text}`, day.replaceAll('-', ''))
    const regionKey = hmac(dayKey, region)
    const serviceKey = hmac(regionKey, 's3')
    const keys = { day: dayKey, region: regionKey, service: serviceKey }
    return Object.entries({ ...keys, request: hmac(serviceKey, 'aws4_request') }).flatMap(
      ([name, key]) => needlesOfKey(`${secret}, ${name} key of ${day}`, key),
    )
  })
