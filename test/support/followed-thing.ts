/** A followed thing in memory, that counts how often it is asked. */
import type { Stored } from '#server/core/follow.ts'
import type { Followable } from '#server/ports/following.ts'
import type { ManualClock } from './manual-clock.ts'

export type FollowedThing = {
  readonly source: Followable
  readonly state: { over: boolean; gone: boolean; stands: number; reads: number }
  /** Nothing can be read of it while `work` goes on. */
  breakFor(work: () => Promise<void>): Promise<void>
  add(track: 'status' | 'log', data?: string): void
  /** Its progress says something else. */
  move(): void
}

export const followedThing = (clock: ManualClock): FollowedThing => {
  const all: Record<'status' | 'log', Stored[]> = { status: [], log: [] }
  let progress = 0
  let broken = false
  const state = { over: false, gone: false, stands: 0, reads: 0 }
  const source: Followable = {
    stand: async () => {
      state.stands += 1
      if (broken) return Promise.reject(new Error('no database'))
      const at = { status: all.status.length, log: all.log.length, progress }
      const stand = { at, over: state.over, progress: `progress ${progress}` }
      return Promise.resolve(state.gone ? null : stand)
    },
    stored: async (_id, at, limit) => {
      state.reads += 1
      const from = (track: 'status' | 'log'): Stored[] =>
        all[track].slice(at[track], at[track] + limit)
      return Promise.resolve({ status: from('status'), log: from('log') })
    },
  }
  return {
    source,
    state,
    breakFor: async (work: () => Promise<void>) => {
      broken = true
      await work()
      broken = false
    },
    add: (track: 'status' | 'log', data: string = track) => {
      all[track].push({ track, seq: all[track].length + 1, at: clock.now(), data })
    },
    move: () => {
      progress += 1
    },
  }
}
