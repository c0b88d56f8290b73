/** Names of one file: it is read under the first, the others wait for what came of it. */
import type { Fault, Stat } from '../../core/stat.ts'
import type { FileRead, Wanted } from './place.ts'

export type Take = Pick<Wanted, 'done' | 'failed'>

export type LinkGroups = {
  /** What to read the file with; null when an earlier name of it is, or was, read already. */
  join(stat: Stat, take: Take): Take | null
}

type Group = { result: FileRead | null; readonly waiting: Take[] }

/** Remembered at most: beyond this a file is read under several names, which costs time and no space in the vault. */
const MOST = 50_000

const keyOf = (stat: Stat): string =>
  `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.ctimeMs}`

export const createLinkGroups = (): LinkGroups => {
  const groups = new Map<string, Group>()
  const lead = (key: string, take: Take): Take => {
    const group: Group = { result: null, waiting: [] }
    groups.set(key, group)
    const oldest = groups.size > MOST ? groups.keys().next().value : undefined
    if (oldest !== undefined) groups.delete(oldest)
    return {
      done: (result) => {
        group.result = result
        take.done(result)
        for (const other of group.waiting) other.done(result)
      },
      failed: (fault: Fault) => {
        // The others may still be there: each is tried by itself next time, and named in the errors now.
        groups.delete(key)
        take.failed(fault)
        for (const other of group.waiting) other.failed(fault)
      },
    }
  }
  return {
    join: (stat, take) => {
      // Beyond 2^53 a floating-point inode number may mean two files.
      if (stat.nlink < 2 || !Number.isSafeInteger(stat.ino)) return take
      const key = keyOf(stat)
      const group = groups.get(key)
      if (group === undefined) return lead(key, take)
      if (group.result === null) group.waiting.push(take)
      else take.done(group.result)
      return null
    },
  }
}
