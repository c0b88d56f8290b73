/** News of backups, to whoever watches in this process. Implements `RunEvents`. */
import { problemOf } from '#shared/errors.ts'
import type { BackupId } from '#shared/ids.ts'
import type { Log } from '#shared/world.ts'
import type { RunEvents, RunNews } from '../ports.ts'

type Heard = (news: RunNews) => void

export const createRunEvents = (log: Log): RunEvents => {
  const watchers = new Map<BackupId, Set<Heard>>()
  return {
    emit: (backup, news) => {
      for (const heard of watchers.get(backup) ?? []) {
        try {
          heard(news)
        } catch (error) {
          log.error({ backup, problem: problemOf(error) }, 'a listener failed')
        }
      }
    },
    watch: (backup, heard) => {
      const own: Heard = (news) => heard(news)
      const all = watchers.get(backup) ?? new Set<Heard>()
      all.add(own)
      watchers.set(backup, all)
      return {
        [Symbol.dispose]: () => {
          all.delete(own)
          if (all.size === 0 && watchers.get(backup) === all) watchers.delete(backup)
        },
      }
    },
  }
}
