/** What went wrong with single entries of a backup: in the record, and as a list of its own. FORMAT.md, "Errors". */
import { fail } from '../errors.ts'
import { parser, Type } from '../schema.ts'
import { MiB } from '../units.ts'
import { bytesField, parseBytes } from './byte-text.ts'
import { concat, equalBytes, utf8 } from './bytes.ts'
import { decodeJson, text } from './json.ts'

/** `path` is a byte string (latin1): names need not be UTF-8. `code` is one of shared/errors.ts. */
export type RecordError = {
  readonly path: string
  readonly code: string
  readonly problem: string
}

/** Most bytes of a list; what does not fit is only counted. */
export const MAX_ERROR_LIST = MiB

const WHAT = 'A list of errors'
const FIRST_LINE = utf8('{"format":"holdfast/errors/v1"}\n')
const LINE_FEED = 0x0a

const parseEntry = parser(
  Type.Object({
    path: Type.Optional(Type.Unknown()),
    pb: Type.Optional(Type.Unknown()),
    code: text(64),
    problem: text(4096),
  }),
)

/** The JSON of one error. Code and problem are cut to what a reader takes. */
export const errorText = ({ path, code, problem }: RecordError): string => {
  const rest = JSON.stringify({ code: code.slice(0, 64), problem: problem.slice(0, 4096) })
  return `{${bytesField('path', 'pb', path)},${rest.slice(1)}`
}

/** The error that a JSON value is; `DAMAGED` for anything else. */
export const parseError = (value: unknown): RecordError => {
  const parsed = parseEntry(value)
  if (!('ok' in parsed)) throw damaged(`${parsed.field} ${parsed.problem}`)
  const path = parseBytes(parsed.ok.path, parsed.ok.pb)
  if (path === undefined) throw damaged('an error has no path')
  return { path, code: parsed.ok.code, problem: parsed.ok.problem }
}

/** The list of all errors, as it lies in a tree pack as one frame: at most 1 MiB. */
export const encodeErrorList = (errors: Iterable<RecordError>): Uint8Array => {
  const lines = [FIRST_LINE]
  let left = MAX_ERROR_LIST - FIRST_LINE.length
  for (const error of errors) {
    const line = utf8(`${errorText(error)}\n`)
    left -= line.length
    if (left < 0) break
    lines.push(line)
  }
  return concat(lines)
}

/** The errors of such a list; `DAMAGED` where it is none. */
export const decodeErrorList = (bytes: Uint8Array): readonly RecordError[] => {
  if (bytes.length > MAX_ERROR_LIST) throw damaged('it is longer than 1 MiB')
  if (!equalBytes(bytes.subarray(0, FIRST_LINE.length), FIRST_LINE))
    throw damaged('it is no such list')
  const errors: RecordError[] = []
  for (let at = FIRST_LINE.length; at < bytes.length;) {
    const end = bytes.indexOf(LINE_FEED, at)
    if (end < 0) throw damaged('its last line does not end')
    const line = bytes.subarray(at, end)
    errors.push(decodeJson(line, { what: WHAT, maxBytes: MAX_ERROR_LIST, parse: parsedError }))
    at = end + 1
  }
  return errors
}

const parsedError = (value: unknown): { ok: RecordError } => ({ ok: parseError(value) })

const damaged = (problem: string): Error => fail('DAMAGED', { what: WHAT, problem })
