/**
 * Bytes that must not be printed by accident. Only `reveal` gives them back: everything that turns a value into text
 * (template strings, JSON, console, debuggers' inspection) sees `[secret]`.
 */
const MASK = '[secret]'

const held = new WeakMap<Secret, Uint8Array>()

export type Secret = {
  toString(): string
  toJSON(): string
  [Symbol.toPrimitive](): string
  /** What node:util's inspect, and so console and assert, look for. */
  [key: symbol]: unknown
}

const show = (): string => MASK

/** Takes the bytes as they are, without a copy: the caller forgets them. */
export const secret = (bytes: Uint8Array): Secret => {
  const wrapped: Secret = Object.freeze({
    toString: show,
    toJSON: show,
    [Symbol.toPrimitive]: show,
    [Symbol.for('nodejs.util.inspect.custom')]: show,
  })
  held.set(wrapped, bytes)
  return wrapped
}

/** The bytes of `wrapped`. The only way to them, so that a search for this name finds every use of a secret. */
export const reveal = (wrapped: Secret): Uint8Array => {
  const bytes = held.get(wrapped)
  if (bytes === undefined) throw new TypeError('this is no secret')
  return bytes
}
