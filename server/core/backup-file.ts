/** An entry of a tree as the API shows it. */
import { fileId, showPath } from '#shared/api/file-ids.ts'
import type { BackupFile, LostFiles } from '#shared/api/files.ts'
import type { Failure } from '#shared/errors.ts'
import type { Entry } from '#shared/format/tree.ts'
import { pathOf, type Place } from '#shared/format/tree-order.ts'
import type { TreePart } from '#shared/read/tree.ts'

export type Placed = Place & { readonly entry: Entry }

/** The largest time that a Date holds, in ms. */
const LAST = 8_640_000_000_000_000n
const NS_PER_MS = 1_000_000n

const isoOf = (mtime: bigint): string | null => {
  const ms = mtime / NS_PER_MS
  return ms > LAST || ms < -LAST ? null : new Date(Number(ms)).toISOString()
}

export const fileUrl = (backup: string, id: string): string => `/v1/backups/${backup}/files/${id}`

export const showFile = (backup: string, { dir, name, entry }: Placed): BackupFile => {
  const path = pathOf(dir, name)
  const id = fileId(path)
  const { user, group, target, skipped } = entry
  return {
    id,
    path: showPath(path),
    name: showPath(name),
    type: entry.type,
    size: entry.size ?? null,
    mode: entry.mode.toString(8).padStart(4, '0'),
    mtime: isoOf(entry.mtime),
    uid: entry.uid,
    gid: entry.gid,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(target === undefined ? {} : { target: showPath(target) }),
    ...(skipped === undefined ? {} : { skipped }),
    url: fileUrl(backup, id),
  }
}

export const showLost = ({
  from,
  to,
  failure,
}: Extract<TreePart, { part: 'lost' }>): LostFiles => ({
  from: showPath(pathOf(from.dir, from.name)),
  to: to === null ? null : showPath(pathOf(to.dir, to.name)),
  code: failure.code,
  problem: failure.message,
})

/** The vault itself is at fault, and will be when it is read again; otherwise the world was. */
export const isVaultFault = ({ code }: Failure): boolean =>
  code === 'DAMAGED' || code === 'MISSING_OBJECT' || code === 'UNSUPPORTED'
