/** What a running agent says of itself to `status`, over its socket. */
import { ID_PATTERN } from '#shared/ids.ts'
import { parser, type Static, Type } from '#shared/schema.ts'

const whole = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const id = Type.String({ pattern: ID_PATTERN })

const RunNow = Type.Object({
  run: id,
  kind: Type.Union([Type.Literal('backup'), Type.Literal('restore')]),
  job: Type.Union([Type.Null(), id]),
  /** Of the job. */
  name: Type.String(),
  began: whole,
  phase: Type.Union([
    Type.Literal('waiting'),
    Type.Literal('scanning'),
    Type.Literal('uploading'),
    Type.Literal('committing'),
    Type.Literal('checking'),
    Type.Literal('restoring'),
    Type.Literal('finishing'),
    /** Over here; the control plane has not said yet that it knows. */
    Type.Literal('ending'),
  ]),
  /** Files and bytes of the sources looked at, or restored, so far. */
  files: whole,
  bytes: whole,
  /** Somebody paused it. */
  paused: Type.Optional(Type.Boolean()),
})
export type RunNow = Static<typeof RunNow>

const Presence = Type.Object({
  connected: Type.Boolean(),
  /** Since when it is so; milliseconds since 1970. */
  since: whole,
  /** Version of the protocol that was agreed on. */
  protocol: Type.Union([Type.Null(), whole]),
  /** Why there is no connection. */
  problem: Type.Union([Type.Null(), Type.String()]),
})
export type Presence = Static<typeof Presence>

export const StatusNow = Type.Object({
  version: Type.Literal(1),
  pid: whole,
  started: whole,
  /** Version of the program that runs: it may have been replaced on disk since. */
  agent: Type.String(),
  connection: Presence,
  runs: Type.Array(RunNow),
})
export type StatusNow = Static<typeof StatusNow>

const parse = parser(StatusNow)

/** Null where what the socket said is not this. */
export const readStatus = (text: string): StatusNow | null => {
  try {
    const parsed = parse(JSON.parse(text))
    return 'ok' in parsed ? parsed.ok : null
  } catch {
    return null
  }
}
