import { ID_PATTERN } from '../ids.ts'
import { type TSchema, Type } from '../schema.ts'

/** Field shapes that several messages share. Every text and list is bounded: the other end is hostile input. */

export const MAX_MESSAGE = 1024 * 1024

/** 2^53 - 1: sizes, counts and pack numbers are exact JSON numbers. */
const EXACT = Number.MAX_SAFE_INTEGER

export const whole = Type.Integer({ minimum: 0, maximum: EXACT })
export const id = Type.String({ pattern: ID_PATTERN })
export const text = (maxLength: number): Type.TString => Type.String({ maxLength })
/** Exactly `bytes` bytes in base64url without padding. */
export const base64url = (bytes: number): Type.TString => {
  const length = Math.ceil((bytes * 4) / 3)
  return Type.String({ pattern: `^[A-Za-z0-9_-]{${String(length)}}$` })
}
export const base64urlUpTo = (bytes: number): Type.TString =>
  Type.String({ pattern: '^[A-Za-z0-9_-]*$', maxLength: Math.ceil((bytes * 4) / 3) })
export const list = <S extends TSchema>(item: S, maxItems: number): Type.TArray<S> =>
  Type.Array(item, { maxItems })

/** An age X25519 recipient: `age1` and 58 bech32 characters. */
export const recipient = Type.String({ pattern: '^age1[02-9ac-hj-np-z]{58}$' })

/** Who can open a vault's objects, by class (FORMAT.md, "Keys"). The agent pins this set whole. */
export const recipients = Type.Object({
  content: list(recipient, 8),
  recovery: list(recipient, 8),
  list: list(recipient, 1),
})

/** Answer to a request, or its failure: code and details of shared/errors.ts. */
export const problem = Type.Object({
  code: text(64),
  message: text(2000),
  details: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), Type.Unknown())),
})

/** Every message has an id; an answer names in `re` the message that it answers. */
export const envelope = { id, re: Type.Optional(id) }

/** A message about a run carries the epoch of the lease under which it was sent. */
export const ofRun = { run: id, epoch: whole }

export const objectClass = Type.Union([
  Type.Literal('pack'),
  Type.Literal('tree'),
  Type.Literal('record'),
  Type.Literal('signer'),
  Type.Literal('key'),
])
