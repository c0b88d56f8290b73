/** JSON that comes out of objects: hostile until a schema has passed it. FORMAT.md, "JSON". */
import { fail } from '../errors.ts'
import { type Parsed, Type } from '../schema.ts'
import { ID_PATTERN } from '../ids.ts'
import { parseUtf8 } from './bytes.ts'

/** Exactly 32 or 64 bytes in canonical base64url: the loose bits of the last character are zero. */
export const bytes32 = Type.String({ pattern: '^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$' })
export const bytes64 = Type.String({ pattern: '^[A-Za-z0-9_-]{85}[AQgw]$' })
export const uuid = Type.String({ pattern: ID_PATTERN })
export const whole = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
export const text = (maxLength: number): Type.TString => Type.String({ maxLength })

type Limits<T> = {
  /** What is being read, for the message: begins a sentence. */
  readonly what: string
  readonly maxBytes: number
  readonly parse: (value: unknown) => Parsed<T>
}

/** The value of one JSON text in UTF-8. `DAMAGED` when too long, not JSON, or not of the schema. */
export const decodeJson = <T>(bytes: Uint8Array, { what, maxBytes, parse }: Limits<T>): T => {
  if (bytes.length > maxBytes) {
    throw fail('DAMAGED', { what, problem: `it is longer than ${String(maxBytes)} bytes` })
  }
  const parsed = parse(syntax(bytes, what))
  if ('ok' in parsed) return parsed.ok
  throw fail('DAMAGED', { what, problem: `${parsed.field} ${parsed.problem}` })
}

const syntax = (bytes: Uint8Array, what: string): unknown => {
  const source = parseUtf8(bytes)
  if (source === null) throw fail('DAMAGED', { what, problem: 'it is not UTF-8' })
  try {
    return JSON.parse(source)
  } catch (error) {
    throw fail('DAMAGED', { what, problem: 'it is not JSON' }, { cause: error })
  }
}
