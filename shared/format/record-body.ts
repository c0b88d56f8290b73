/** What a backup record says, its JSON, and the strict reader of that JSON. FORMAT.md, "Backup record". */
import { fail } from '../errors.ts'
import { parser, Type } from '../schema.ts'
import type { Ms } from '../units.ts'
import { bytes32, decodeJson, text, uuid, whole } from './json.ts'
import { type FullLocator, fullLocatorText, parseFullLocator } from './locator.ts'
import { errorText, parseError, type RecordError } from './record-errors.ts'
import { checkReadable } from './version.ts'

export type { RecordError } from './record-errors.ts'

export type RecordHost = {
  readonly hostname: string
  readonly os: string
  readonly kernel: string
  readonly arch: string
  /** Version of the agent. */
  readonly agent: string
}

/** A source as it was run. Types that come later carry fields of their own, which are kept. */
export type RecordSource = {
  readonly type: string
  readonly paths?: readonly string[]
  readonly exclude?: readonly string[]
  readonly exclude_caches?: boolean
  readonly exclude_if_present?: readonly string[]
  readonly max_file_size?: number
  readonly one_file_system?: boolean
}

/** Entries of the tree by kind and by what was done with them. */
export type RecordCounts = {
  readonly files: number
  readonly directories: number
  readonly others: number
  readonly changed: number
  readonly unchanged: number
  readonly skipped: number
}

/** Bytes of the sources, of those read, of content new to the vault, and put into the store before the record. */
export type RecordBytes = {
  readonly source: number
  readonly read: number
  readonly new: number
  readonly stored: number
}

export type RecordErrors = {
  readonly count: number
  /** The first ones; the encoder keeps as many as fit. */
  readonly first: readonly RecordError[]
  /** Where the list of all of them lies (`encodeErrorList`), when `first` does not hold them all. */
  readonly all?: FullLocator
}

export type RecordBody = {
  readonly format: number
  readonly requires: readonly string[]
  readonly vault: string
  readonly job: string
  readonly backup: string
  /** Number of the backup in its (vault, job). */
  readonly sequence: number
  /** base64url SHA-256 of the object of the record before it in its (vault, job). */
  readonly previous: string | null
  /** Sequence numbers still kept, as ascending, disjoint `[first, last]` runs. */
  readonly kept: readonly (readonly [first: number, last: number])[]
  readonly host: RecordHost
  readonly sources: readonly RecordSource[]
  readonly started: Ms
  readonly completed: Ms
  readonly counts: RecordCounts
  readonly bytes: RecordBytes
  readonly errors: RecordErrors
  /** Roots of the fence and of the pack table. */
  readonly fence: FullLocator
  readonly packs: FullLocator
}

const WHAT = 'A backup record'
/** Most bytes of the body's line: with the signature's line, stored as it is, the object stays in one 64 KiB bucket. */
export const MAX_BODY = 65_280

const Counts = Type.Object({
  files: whole,
  directories: whole,
  others: whole,
  changed: whole,
  unchanged: whole,
  skipped: whole,
})

const Body = Type.Object({
  vault: uuid,
  job: uuid,
  backup: uuid,
  sequence: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  previous: Type.Union([Type.Null(), bytes32]),
  kept: Type.Array(Type.Tuple([whole, whole])),
  host: Type.Object({
    hostname: Type.String(),
    os: Type.String(),
    kernel: Type.String(),
    arch: Type.String(),
    agent: Type.String(),
  }),
  sources: Type.Array(
    Type.Object({
      type: text(64),
      paths: Type.Optional(Type.Array(Type.String())),
      exclude: Type.Optional(Type.Array(Type.String())),
    }),
  ),
  started: whole,
  completed: whole,
  counts: Counts,
  bytes: Type.Object({ source: whole, read: whole, new: whole, stored: whole }),
  errors: Type.Object({
    count: whole,
    first: Type.Array(Type.Unknown()),
    all: Type.Optional(Type.Unknown()),
  }),
  fence: Type.Unknown(),
  packs: Type.Unknown(),
})

const parseHead = parser(
  Type.Object({ format: whole, requires: Type.Array(text(64), { maxItems: 64 }) }),
)
const parseBody = parser(Body)

const damaged = (problem: string): Error => fail('DAMAGED', { what: WHAT, problem })

type Fields = readonly (readonly [name: string, json: string])[]

const pick = (from: Readonly<Record<string, unknown>>, names: readonly string[]): string =>
  `{${names.map((name) => `"${name}":${JSON.stringify(from[name])}`).join(',')}}`

const errorsText = ({ count, all }: RecordErrors, first: readonly string[]): string => {
  const tail = all === undefined ? '' : `,"all":${fullLocatorText(all)}`
  return `{"count":${JSON.stringify(count)},"first":[${first.join(',')}]${tail}}`
}

const fieldsOf = (body: RecordBody, first: readonly string[]): Fields => [
  ['format', JSON.stringify(body.format)],
  ['requires', JSON.stringify(body.requires)],
  ['vault', JSON.stringify(body.vault)],
  ['job', JSON.stringify(body.job)],
  ['backup', JSON.stringify(body.backup)],
  ['sequence', JSON.stringify(body.sequence)],
  ['previous', JSON.stringify(body.previous)],
  ['kept', JSON.stringify(body.kept)],
  ['host', pick(body.host, ['hostname', 'os', 'kernel', 'arch', 'agent'])],
  ['sources', JSON.stringify(body.sources)],
  ['started', JSON.stringify(body.started)],
  ['completed', JSON.stringify(body.completed)],
  ['counts', pick(body.counts, COUNTED)],
  ['bytes', pick(body.bytes, ['source', 'read', 'new', 'stored'])],
  ['errors', errorsText(body.errors, first)],
  ['fence', fullLocatorText(body.fence)],
  ['packs', fullLocatorText(body.packs)],
]

const COUNTED = ['files', 'directories', 'others', 'changed', 'unchanged', 'skipped'] as const

const lineOf = (body: RecordBody, first: readonly string[]): string =>
  `{${fieldsOf(body, first)
    .map(([name, json]) => `"${name}":${json}`)
    .join(',')}}`

/** The longest beginning of `texts` that takes at most `room` bytes, commas included. */
const fitting = (texts: readonly string[], room: number): readonly string[] => {
  let left = room
  const end = texts.findIndex((text) => {
    left -= Buffer.byteLength(text) + 1
    return left < 0
  })
  return end < 0 ? texts : texts.slice(0, end)
}

/**
 * Line 1 of a record, at most `MAX_BODY` bytes: as many of the first errors as fit. `LIMIT_EXCEEDED` when it is too
 * long without any.
 */
export const bodyLine = (body: RecordBody): string => {
  const room = MAX_BODY - Buffer.byteLength(lineOf(body, []))
  if (room < 0) throw fail('LIMIT_EXCEEDED', { limit: MAX_BODY, what: 'bytes in a backup record' })
  return lineOf(body, fitting(body.errors.first.map(errorText), room))
}

const checkKept = (kept: RecordBody['kept'], sequence: number): void => {
  let before = -1
  for (const [first, last] of kept) {
    if (first <= before || last < first || last > sequence)
      throw damaged('its kept runs are not in order')
    before = last
  }
}

/** The body of a line 1, hostile until here. `UNSUPPORTED` for an unknown format or feature, else `DAMAGED`. */
export const parseBodyLine = (line: Uint8Array): RecordBody => {
  const limits = { what: WHAT, maxBytes: MAX_BODY }
  const head = decodeJson(line, { ...limits, parse: parseHead })
  checkReadable(WHAT, head.format, head.requires)
  const body = decodeJson(line, { ...limits, parse: parseBody })
  checkKept(body.kept, body.sequence)
  if (body.errors.first.length > body.errors.count)
    throw damaged('it lists more errors than it counts')
  const { all } = body.errors
  return {
    ...body,
    format: head.format,
    requires: head.requires,
    errors: {
      count: body.errors.count,
      first: body.errors.first.map(parseError),
      ...(all === undefined ? {} : { all: parseFullLocator(all) }),
    },
    fence: parseFullLocator(body.fence),
    packs: parseFullLocator(body.packs),
  }
}
