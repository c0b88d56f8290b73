/** What of an entry's owner and mode can be set, and by whom. */
import type { Entry } from '#shared/format/tree.ts'
import { attributesToSet } from './attributes.ts'
import type { Attributes } from './restore-job.ts'
import type { Maker } from './restore-ports.ts'

const SET_IDS = 0o6000

/**
 * Only root can give a file away. Where the owner cannot be set, set-user-id and set-group-id bits are left out: they
 * would give the restoring user's rights to a program that was somebody else's.
 */
export const attributesOf = (entry: Entry, maker: Maker): Attributes => {
  const { uid, gid, mode, mtime } = entry
  const xattrs = attributesToSet(entry)
  const same = uid === maker.uid && gid === maker.gid && !maker.groupFromTarget
  if (maker.root) return { mode, mtime, xattrs, owner: same ? null : [uid, gid] }
  return { mode: ownerLost(entry, maker) ? mode & ~SET_IDS : mode, mtime, xattrs, owner: null }
}

export const ownerLost = (entry: Entry, maker: Maker): boolean =>
  !maker.root && (entry.uid !== maker.uid || entry.gid !== maker.gid)

/** Whether a directory of this mode can still be written into by who is not root. */
export const staysOpen = (mode: number): boolean => (mode & 0o700) === 0o700
