/** News of runs, to whoever watches in this process. Implements `RunEvents`. */
import { problemOf } from '#shared/errors.ts'
import type { Log } from '#shared/world.ts'
import type { RunRef } from '../core/backup-machine.ts'
import type { RunEvents, RunNews } from '../ports/runs.ts'

type Heard = (news: RunNews) => void

export const createRunEvents = (log: Log): RunEvents => {
  const watchers = new Map<RunRef['id'], Set<Heard>>()
  return {
    emit: (run, news) => {
      for (const heard of watchers.get(run) ?? []) {
        try {
          heard(news)
        } catch (error) {
          log.error({ run, problem: problemOf(error) }, 'a listener failed')
        }
      }
    },
    watch: (run, heard) => {
      const own: Heard = (news) => heard(news)
      const all = watchers.get(run) ?? new Set<Heard>()
      all.add(own)
      watchers.set(run, all)
      return {
        [Symbol.dispose]: () => {
          all.delete(own)
          if (all.size === 0 && watchers.get(run) === all) watchers.delete(run)
        },
      }
    },
  }
}
