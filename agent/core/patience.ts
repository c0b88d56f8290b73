/** How long this agent waits for what passes: every bound is here (README.md, "What passes, and what does not"). */
import { CATALOGUE, type Details, type ErrorCode } from '#shared/errors.ts'
import { DAY, HOUR, KiB, MINUTE, type Ms, SECOND } from '#shared/units.ts'

export type Patience = {
  /** Storage or database are away, says the control plane or the store: so long from the first such answer. */
  readonly away: Ms
  /** The store or the control plane refuses, or fails at something that it should not fail at. */
  readonly refused: Ms
  /** The control plane does not answer at all. */
  readonly silent: Ms
  /** Nothing moves on the connection of an upload. */
  readonly idle: Ms
}

export const PATIENCE: Patience = {
  away: HOUR,
  refused: 2 * MINUTE,
  silent: DAY,
  idle: MINUTE,
}

/** Where somebody asks for less, or more, than the usual hour. */
export const patienceOf = (away: Ms = PATIENCE.away, idle: Ms = PATIENCE.idle): Patience => ({
  away,
  refused: Math.min(away, PATIENCE.refused),
  silent: Math.max(away, PATIENCE.silent),
  idle,
})

/** An object that is not in the store as it was put is put again so often. */
export const REUPLOADS = 5

/** A line this slow is given up for one upload, even if it moves. */
const SLOWEST = 16 * KiB

/** A single try to put so many bytes takes at most so long. */
export const longestUpload = (bytes: number, { idle }: Patience): Ms =>
  idle + Math.ceil((bytes / SLOWEST) * SECOND)

/** An answer comes within this time, else it, or the request, was lost on a connection that lives: asked again, each time after twice as long. */
export const answerLimit = (request: string, repeated: number): Ms =>
  Math.min(10 * MINUTE, (request === 'commit.finish' ? 4 * MINUTE : MINUTE) * 2 ** repeated)

/** `later` in the catalogue, but about a run and not about a moment; or answered in ways of their own. */
const OF_THE_RUN: ReadonlySet<ErrorCode> = new Set([
  'LEASE_LOST',
  'RUN_LOST',
  'RUN_TOO_LONG',
  'PAUSED_TOO_LONG',
  'UPLOAD_FAILED',
  'AGENT_STOPPED',
  'CONTROL_PLANE_SILENT',
])

/** The store said no, and was not just busy. */
const isRefusal = ({ status }: Details): boolean =>
  typeof status === 'number' && status >= 400 && status < 500 && status !== 408 && status !== 429

/** For how long a request that was answered so is asked again; 0: not at all. */
export const patienceFor = (code: ErrorCode, details: Details, patience: Patience): Ms => {
  if (CATALOGUE[code].retry !== 'later' || OF_THE_RUN.has(code)) return 0
  const mistaken = code === 'INTERNAL' || code === 'INTERNAL_AGENT'
  return mistaken || isRefusal(details) ? patience.refused : patience.away
}
