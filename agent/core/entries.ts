/** Stat → the entry of a tree. */
import type { Entry } from '#shared/format/tree.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { kindOf, type Exact } from './stat.ts'

export type Owners = {
  user(uid: number): string | undefined
  group(gid: number): string | undefined
}

const PERMISSIONS = 0o7777

/** major and minor as Linux packs them into 64 bits (gnu_dev_major, gnu_dev_minor). */
const deviceOf = (rdev: bigint): readonly [number, number] => [
  Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn & 0xffffffffn)),
  Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn & 0xffffffffn)),
]

/** What every kind has. */
const commonOf = (exact: Exact, owners: Owners): Omit<Entry, 'type'> => {
  const user = owners.user(exact.uid)
  const group = owners.group(exact.gid)
  return {
    mode: exact.mode & PERMISSIONS,
    uid: exact.uid,
    gid: exact.gid,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    mtime: exact.mtimeNs,
  }
}

/** The same text on every name of a file: device and inode, as long as they mean the same file. */
export const hardlinkOf = (exact: Exact): string | undefined =>
  exact.nlink > 1 ? `${exact.dev.toString(36)}.${exact.ino.toString(36)}` : undefined

export const fileEntry = (exact: Exact, owners: Owners, rest: Partial<Entry>): Entry => {
  const hardlink = hardlinkOf(exact)
  return {
    type: 'file',
    ...commonOf(exact, owners),
    ...(hardlink === undefined ? {} : { hardlink }),
    ...rest,
  }
}

/** A directory whatever `exact` is: sources and their ancestors may be links to one. */
export const directoryEntry = (exact: Exact, owners: Owners): Entry => ({
  type: 'directory',
  ...commonOf(exact, owners),
})

/** Everything that is neither file nor directory. */
export const otherEntry = (exact: Exact, owners: Owners, target: Bytes | null): Entry => {
  const type = kindOf(exact.mode)
  const hardlink = hardlinkOf(exact)
  return {
    type,
    ...commonOf(exact, owners),
    ...(target === null ? {} : { target }),
    ...(type === 'char' || type === 'block' ? { device: deviceOf(exact.rdev) } : {}),
    ...(hardlink === undefined ? {} : { hardlink }),
    ...(type === 'socket' ? { skipped: 'socket' } : {}),
  }
}
