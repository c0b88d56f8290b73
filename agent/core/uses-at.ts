/** What an entry of a local tree uses: its line says it, except with content lists. */
import { decodeEntry } from '#shared/format/tree-decode.ts'
import { usesOf, type Uses } from './live.ts'
import { hasContentAt, lineAt, listedUsesAt, type Cursor } from './local-tree.ts'

export const usesAt = (cursor: Cursor): Uses => {
  if (!hasContentAt(cursor)) return []
  const uses = listedUsesAt(cursor)
  if (uses.length > 0) return uses
  return usesOf(decodeEntry(lineAt(cursor)).entry.content ?? [])
}
