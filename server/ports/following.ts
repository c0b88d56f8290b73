/** Followed things, and their logs: what is asked of the database. */
import type { LogLevel, LogLine } from '#shared/api/events.ts'
import type { Position, Stand, Tracks } from '../core/follow.ts'
import type { Page, PageRequest } from '../core/page.ts'

/** One kind of things that can be followed: backups, restores, downloads. `id` is a UUID of ours; access is checked before. */
export type Followable = {
  /** `null` where it is not there, or not any more. Read before the tracks: what it says is over has all its events. */
  stand(id: string): Promise<Stand | null>
  /** The first of each track after `at`, at most `limit` each. */
  stored(id: string, at: Position, limit: number): Promise<Tracks>
}

/** Other processes, too, tell what has a new stored event. Nothing depends on it: what is followed is looked at anyway. */
export type News = {
  /** `heard` gets the id of the followed thing. */
  listen(heard: (id: string) => void): Promise<AsyncDisposable>
}

/** The logs of one kind of followed things; access is checked before. Lines of `level` and of what is worse. */
export type Logs = {
  list(id: string, page: PageRequest, level: LogLevel): Promise<Page<LogLine>>
  /** The first ones after `seq`, at most `limit`. */
  after(id: string, seq: number, of: LogPart): Promise<readonly LogLine[]>
}

export type LogPart = { readonly level: LogLevel; readonly limit: number }
