import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  decodeGreeting,
  decodeIntroduction,
  decodeOrder,
  decodeReport,
  type Decoded,
  encode,
} from '#shared/protocol/codec.ts'
import { MAX_MESSAGE } from '#shared/protocol/fields.ts'
import { GREETINGS, INTRODUCTIONS } from '#shared/protocol/hello.ts'
import { ORDERS } from '#shared/protocol/orders.ts'
import { REPORTS } from '#shared/protocol/reports.ts'

type Message = { readonly type: string; readonly id: string }
type Vectors = Readonly<Record<'greetings' | 'introductions' | 'orders' | 'reports', string[]>>

const vectorsIn = (name: string): Vectors =>
  JSON.parse(
    readFileSync(new URL(`../../vectors/v1/${name}.json`, import.meta.url), 'utf8'),
  ) as Vectors
const files = ['messages', 'messages-added', 'messages-pace'].map(vectorsIn)
const all = (family: keyof Vectors): string[] => files.flatMap((file) => file[family])
const vectors: Vectors = {
  greetings: all('greetings'),
  introductions: all('introductions'),
  orders: all('orders'),
  reports: all('reports'),
}

const families: readonly [keyof Vectors, object, (frame: string) => Decoded<Message>][] = [
  ['greetings', GREETINGS, decodeGreeting],
  ['introductions', INTRODUCTIONS, decodeIntroduction],
  ['orders', ORDERS, decodeOrder],
  ['reports', REPORTS, decodeReport],
]

const okOf = (decoded: Decoded<Message>): Message => {
  if ('ok' in decoded) return decoded.ok
  throw new Error(decoded.refused)
}

const OPTIONAL = ['re', 'organization', 'vaults', 'server_name', 'limits', 'priority']

describe.each(families)('%s', (name, family, decode) => {
  const frames = vectors[name]

  test('have a frozen frame for every type, which is read and written as it stands', () => {
    const types = frames.map((frame) => okOf(decode(frame)).type)
    expect([...new Set(types)].sort()).toEqual(Object.keys(family).sort())
    for (const frame of frames) expect(encode(okOf(decode(frame)))).toBe(frame)
  })

  test('pass with fields that nobody knows yet', () => {
    for (const frame of frames) {
      const more = JSON.stringify({ ...(JSON.parse(frame) as object), of_the_future: { a: [1] } })
      expect(decode(more)).toHaveProperty('ok')
    }
  })

  test('are refused, and never throw, when any field is missing or of another kind', () => {
    for (const frame of frames) {
      const message = JSON.parse(frame) as Record<string, unknown>
      for (const field of Object.keys(message)) {
        const { [field]: before, ...without } = message
        if (!OPTIONAL.includes(field))
          expect(decode(JSON.stringify(without))).toHaveProperty('refused')
        for (const other of [null, true, -1, 1.5, 2 ** 53, 'x'.repeat(9000), [[]], {}])
          if (typeof other !== typeof before || field === 'id')
            expect(decode(JSON.stringify({ ...message, [field]: other }))).toHaveProperty('refused')
      }
    }
  })

  test('are refused, and never throw, whatever comes', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (frame) => 'refused' in decode(frame)))
    fc.assert(
      fc.property(fc.constantFrom(...frames), fc.nat(), (frame, at) => {
        decode(frame.slice(0, at % frame.length))
        decode(frame.replace(/[0-9a-f]/g, (c, i: number) => (i === at % frame.length ? '"' : c)))
      }),
    )
  })

  test('of another family are refused', () => {
    for (const [other] of families)
      if (other !== name)
        for (const frame of vectors[other]) expect(decode(frame)).toHaveProperty('refused')
  })
})

test('a frame above 1 MiB is refused before it is parsed, counted in bytes', () => {
  const frame = (text: string): string => JSON.stringify({ type: 'log', filler: text })
  const room = MAX_MESSAGE - frame('').length
  expect(decodeReport(frame('x'.repeat(room)))).not.toEqual(tooLarge)
  expect(decodeReport(frame('x'.repeat(room + 1)))).toEqual(tooLarge)
  expect(decodeReport(frame('ü'.repeat(room / 2 + 1)))).toEqual(tooLarge)
})
const tooLarge = { refused: `a message larger than ${MAX_MESSAGE} bytes` }
