/** Which packs are opened for somebody who wants these files: no more than hold them. Names are read, content is not. */
import { fail } from '#shared/errors.ts'
import type { PackNo } from '#shared/format/locator.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { contentOf } from '#shared/read/content.ts'
import { selectionOf } from '#shared/read/selection.ts'
import type { TreeOf } from '#shared/read/tree.ts'
import { walkTree } from '#shared/read/tree.ts'
import { showWanted, type Wanted, wishOf } from '../../core/selection.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import { readBackup, type ReadBackupParts } from '../read-backup.ts'

/** Rows of the catalog at once. */
const PAGE = 5000
/** 16 TiB of packs of the usual size: what one backup may have at most. */
const MOST = 1_048_576

const tooMany = (): Error =>
  fail('LIMIT_EXCEEDED', { limit: MOST, what: 'packs in one open request' })

const packsOfAll = async (
  { reading }: ReadBackupParts,
  committed: CommittedBackup,
): Promise<readonly PackNo[]> => {
  const packs: PackNo[] = []
  for (let after = 0; ;) {
    const rows = await reading.packsOf(committed, after, PAGE)
    for (const row of rows) if (row.class === 'pack') packs.push(row.no)
    if (packs.length > MOST) throw tooMany()
    const last = rows.at(-1)
    if (rows.length < PAGE || last === undefined) return packs
    after = last.no
  }
}

const addFile = async (tree: TreeOf, { entry }: SegmentLine, packs: Set<PackNo>): Promise<void> => {
  for await (const run of contentOf(tree, entry)) for (const [pack] of run) packs.add(pack)
  if (packs.size > MOST) throw tooMany()
}

const packsOfSome = async (
  parts: ReadBackupParts,
  [committed, wanted]: readonly [CommittedBackup, readonly Wanted[]],
  stop: AbortSignal,
): Promise<readonly PackNo[]> => {
  const { tree } = await readBackup(parts, committed, { stop })
  const selection = selectionOf(wishOf(wanted))
  const packs = new Set<PackNo>()
  let isAny = false
  for await (const part of walkTree(tree, selection.scope)) {
    if (part.part === 'lost') throw part.failure
    for (const line of part.entries) {
      if (!selection.wants(line)) continue
      isAny = true
      await addFile(tree, line, packs)
    }
  }
  if (!isAny)
    throw fail('RESOURCE_NOT_FOUND', { resource: 'file', id: showWanted(wanted)[0]?.path ?? '' })
  return [...packs].sort((a, b) => a - b)
}

/**
 * Numbers, ascending. `RESOURCE_NOT_FOUND` where nothing is what was asked for; `DAMAGED` or `STORAGE_UNAVAILABLE` where
 * the names cannot be read.
 */
export const choosePacks = async (
  parts: ReadBackupParts,
  [committed, wanted]: readonly [CommittedBackup, readonly Wanted[]],
  stop: AbortSignal,
): Promise<readonly PackNo[]> =>
  wanted.length === 0 ? packsOfAll(parts, committed) : packsOfSome(parts, [committed, wanted], stop)
