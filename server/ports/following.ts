/** Followed things: what flow/follow.ts asks of the database. */
import type { Position, Stand, Tracks } from '../core/follow.ts'

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
