/** Bytes ⇄ messages: the only parser of frames. Size first, then JSON, then schema; it never throws. */
import { parser, type Static, type TSchema } from '../schema.ts'
import { MAX_MESSAGE } from './fields.ts'
import { GREETINGS, INTRODUCTIONS } from './hello.ts'
import { ORDERS } from './orders.ts'
import { REPORTS } from './reports.ts'

export type Decoded<M> = { readonly ok: M } | { readonly refused: string }

type Family = Readonly<Record<string, TSchema>>
type MessageOf<F extends Family> = Static<F[keyof F]>

const parseJson = (frame: string): unknown => {
  try {
    return JSON.parse(frame)
  } catch {
    return undefined
  }
}

const typeOf = (value: unknown): string | null =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
    ? value.type
    : null

const decoderOf = <F extends Family>(family: F): ((frame: string) => Decoded<MessageOf<F>>) => {
  const parsers = new Map(
    Object.entries(family).map(([type, schema]) => [
      type,
      parser<F[keyof F]>(schema as F[keyof F]),
    ]),
  )
  return (frame) => {
    // A UTF-16 length is never above the UTF-8 size, so this only lets through what the second check then measures.
    if (frame.length > MAX_MESSAGE || Buffer.byteLength(frame) > MAX_MESSAGE)
      return { refused: `a message larger than ${MAX_MESSAGE} bytes` }
    const value = parseJson(frame)
    const type = typeOf(value)
    if (type === null) return { refused: 'a frame that is not a message' }
    const parse = parsers.get(type)
    if (parse === undefined)
      return { refused: `a message of the unknown type "${type.slice(0, 64)}"` }
    const parsed = parse(value)
    return 'ok' in parsed
      ? { ok: parsed.ok }
      : { refused: `"${type}" whose field ${parsed.field} ${parsed.problem}` }
  }
}

/** What an agent may receive before the connection is open, and after. */
export const decodeGreeting = decoderOf(GREETINGS)
export const decodeOrder = decoderOf(ORDERS)
/** What the control plane may receive before the connection is open, and after. */
export const decodeIntroduction = decoderOf(INTRODUCTIONS)
export const decodeReport = decoderOf(REPORTS)

/** The frame of a message. A message that is too large is a mistake of ours, so it throws. */
export const encode = (message: { readonly type: string; readonly id: string }): string => {
  const frame = JSON.stringify(message)
  if (Buffer.byteLength(frame) > MAX_MESSAGE)
    throw new RangeError(`"${message.type}" is larger than a message may be`)
  return frame
}
