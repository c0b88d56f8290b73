/**
 * What a stream of events is made of, whoever is followed. Pure.
 *
 * A followed thing has two tracks of stored events, `status` and `log`, each numbered from 1 without a hole in the order
 * in which they were committed, and one present progress, whose number rises whenever it says something else. A position
 * names the last one of each that a reader has: the tracks need no common order, and each event carries the position
 * after it, so a reader that comes back with it misses nothing and gets nothing twice.
 */
import type { Ms } from '#shared/units.ts'

export type Position = { readonly status: number; readonly log: number; readonly progress: number }

export const START: Position = { status: 0, log: 0, progress: 0 }

export type Track = 'status' | 'log'

/** `data` is what the reader gets: plain JSON, in the shape of shared/api/events.ts. */
export type Stored = {
  readonly track: Track
  readonly seq: number
  readonly at: Ms
  readonly data: unknown
}

/** Rising `seq` each, without a hole. */
export type Tracks = Readonly<Record<Track, readonly Stored[]>>

export type FollowEvent = {
  readonly kind: Track | 'progress'
  /** Where a reader stands who has this one. */
  readonly position: Position
  readonly data: unknown
}

/** Where a thing stands. `over`: nothing more will come, unless it is started again. */
export type Stand = { readonly at: Position; readonly over: boolean; readonly progress: unknown }

const PARTS = /^(\d{1,15})\.(\d{1,15})\.(\d{1,15})$/

/** The `id:` of an event. */
export const showPosition = ({ status, log, progress }: Position): string =>
  `${status}.${log}.${progress}`

/** `null` for what `showPosition` does not make. */
export const parsePosition = (text: string): Position | null => {
  const [, status, log, progress] = PARTS.exec(text) ?? []
  return progress === undefined
    ? null
    : { status: Number(status), log: Number(log), progress: Number(progress) }
}

export const isBehind = (at: Position, { at: head }: Pick<Stand, 'at'>): boolean =>
  at.status < head.status || at.log < head.log || at.progress !== head.progress

const isFirst = (log: Stored | undefined, status: Stored | undefined): boolean =>
  log !== undefined && (status === undefined || log.at <= status.at)

/**
 * The two tracks as one, by time; what was logged in the same moment comes before the status that it explains. A track
 * that was read up to `limit` may go on: where it ends, so does the result.
 */
export const inOrder = ({ status, log }: Tracks, limit: number): readonly Stored[] => {
  const merged: Stored[] = []
  let [s, l] = [0, 0]
  for (;;) {
    if (s === status.length && status.length >= limit) return merged
    if (l === log.length && log.length >= limit) return merged
    const next = isFirst(log[l], status[s]) ? log[l] : status[s]
    if (next === undefined) return merged
    if (next.track === 'log') l += 1
    else s += 1
    merged.push(next)
  }
}

const after = (at: Position, { track, seq }: Pick<Stored, 'track' | 'seq'>): Position =>
  track === 'status' ? { ...at, status: seq } : { ...at, log: seq }

/** The position after the last of `stored`. */
export const advance = (at: Position, stored: readonly Stored[]): Position =>
  stored.reduce(after, at)

/** What a reader at `at` is sent: the progress, if it has another one, then the stored events. */
export const eventsFrom = (
  at: Position,
  stand: Pick<Stand, 'at' | 'progress'>,
  stored: readonly Stored[],
): readonly FollowEvent[] => {
  let position = { ...at, progress: stand.at.progress }
  const events = stored.map(({ track, seq, data }): FollowEvent => {
    position = after(position, { track, seq })
    return { kind: track, position, data }
  })
  return at.progress === stand.at.progress
    ? events
    : [
        {
          kind: 'progress',
          position: { ...at, progress: stand.at.progress },
          data: stand.progress,
        },
        ...events,
      ]
}

/** The newest stored events: all that lie after `from`, so that most readers need nothing of the store. */
export type Window = {
  readonly from: Position
  readonly to: Position
  readonly stored: readonly Stored[]
}

export const emptyWindow = (at: Position): Window => ({ from: at, to: at, stored: [] })

/** Keeps the newest `most`. */
export const extend = (window: Window, stored: readonly Stored[], most: number): Window => {
  const all = [...window.stored, ...stored]
  const dropped = all.slice(0, Math.max(0, all.length - most))
  return {
    from: advance(window.from, dropped),
    to: advance(window.to, stored),
    stored: all.slice(dropped.length),
  }
}

/** What follows `at`, or `null` where the window begins later. */
export const since = (window: Window, at: Position): readonly Stored[] | null =>
  at.status < window.from.status || at.log < window.from.log
    ? null
    : window.stored.filter(({ track, seq }) => seq > at[track])
