/** What `holdfast` hands to this program on its standard input: where objects are, what opens them, what to do. */
import { parser, type Static, Type } from '#shared/schema.ts'
import { fail } from '#shared/errors.ts'
import { parseBase64url } from '#shared/format/bytes.ts'

const text = (maxLength: number): Type.TString => Type.String({ maxLength })
const binary = (maxBytes: number): Type.TString =>
  Type.String({ pattern: '^[A-Za-z0-9_-]*$', maxLength: Math.ceil((maxBytes * 4) / 3) })

const HandedObject = Type.Object({
  key: text(1024),
  url: text(8192),
  size: Type.Optional(Type.Integer({ minimum: 0 })),
  /** age header and payload nonce. */
  header: Type.Optional(binary(64 * 1024)),
  /** What its key is sealed for: the record, or its number. */
  no: Type.Optional(Type.Integer({ minimum: 0 })),
  sealed_file_key: Type.Optional(binary(128)),
})

const action = Type.Union([
  Type.Object({
    do: Type.Literal('restore'),
    target: text(4096),
    /** Raw bytes of absolute paths; none is everything. */
    paths: Type.Array(binary(12 * 1024)),
  }),
  Type.Object({ do: Type.Literal('verify'), paths: Type.Array(binary(12 * 1024)) }),
  /** Opens these packs for somebody else, after everything about them was verified. */
  Type.Object({
    do: Type.Literal('approve'),
    request: text(64),
    paths: Type.Array(binary(12 * 1024)),
    packs: Type.Array(Type.Object({ no: Type.Integer({ minimum: 1 }), header: binary(64 * 1024) })),
    opener_key: binary(32),
  }),
])

export const Handed = Type.Object({
  vault: text(64),
  backup: text(64),
  /** Signer 0 and those after it. */
  signers: Type.Array(binary(16 * 1024)),
  objects: Type.Array(HandedObject),
  /** Where keys were handed over: whom they are sealed to, and for which opening. */
  opener_secret: Type.Optional(binary(32)),
  opening: Type.Optional(text(64)),
  sealed_id_key: Type.Optional(binary(128)),
  /** Files with age identities. */
  identities: Type.Array(text(4096)),
  /** base64url SHA-256 of the genesis, where the person knows it. */
  genesis: Type.Optional(binary(32)),
  json: Type.Boolean(),
  action,
})

export type Handed = Static<typeof Handed>
export type HandedObject = Static<typeof HandedObject>

const parse = parser(Handed)

/** `WRONG_USE` where the text is not what it must be. */
export const parseHanded = (json: string): Handed => {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw fail('WRONG_USE', { problem: 'what was handed over is not JSON' })
  }
  const parsed = parse(value)
  if ('ok' in parsed) return parsed.ok
  throw fail('WRONG_USE', { problem: `${parsed.field} ${parsed.problem}` })
}

/** The bytes of one of its fields. */
export const handedBytes = (text: string): Uint8Array => {
  const bytes = parseBase64url(text)
  if (bytes !== null) return bytes
  throw fail('WRONG_USE', { problem: 'what was handed over is not canonical base64url' })
}
