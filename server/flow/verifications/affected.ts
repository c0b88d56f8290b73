/** What damaged objects mean for a backup: its files that need them, and what of its tree cannot be known. */
import { showPath } from '#shared/api/file-ids.ts'
import type { Finding } from '#shared/api/findings.ts'
import { Failure } from '#shared/errors.ts'
import type { PackNo } from '#shared/format/locator.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { pathOf } from '#shared/format/tree-order.ts'
import { walkTree } from '#shared/read/tree.ts'
import { isVaultFault, showLost } from '../../core/backup-file.ts'
import type { ReadBackup } from '../read-backup.ts'
import { wholeContent } from '../reading/stream-content.ts'

/** Paths that are named; the others are counted. */
const MOST_NAMED = 20

export type Users = { readonly first: string[]; count: number }

export type Affected = {
  /** Files by the damaged object that they need. */
  readonly users: ReadonlyMap<PackNo, Users>
  /** Files whose pieces cannot all be known, and ranges of names that are lost. */
  readonly findings: readonly Finding[]
  /** All of the latter: `findings` has the first. */
  readonly count: number
}

type Asked = {
  readonly backup: Pick<ReadBackup, 'tree'>
  readonly damaged: ReadonlySet<PackNo>
  /** Findings that are kept. */
  readonly most: number
}

const pathIn = ({ dir, name }: SegmentLine): string => showPath(pathOf(dir, name))

/** Of the objects asked about, those that a file needs. `row` throws for what the pack table does not say any more. */
const neededBy = async ({ backup, damaged }: Asked, line: SegmentLine): Promise<Set<PackNo>> => {
  const needed = new Set<PackNo>()
  const seen = new Set<PackNo>()
  const lists = line.entry.more?.map(([no]) => no) ?? []
  for (const no of lists) if (damaged.has(no)) needed.add(no)
  for await (const [no] of wholeContent(backup.tree, line)) {
    if (seen.has(no)) continue
    seen.add(no)
    if (damaged.has(no)) needed.add(no)
    else await backup.tree.packs.row(no)
  }
  return needed
}

/** One walk over the tree, and over the content lists of its large files. */
export const affectedBy = async (asked: Asked): Promise<Affected> => {
  const users = new Map<PackNo, Users>(
    [...asked.damaged].map((no) => [no, { first: [], count: 0 }]),
  )
  const findings: Finding[] = []
  let count = 0
  const note = (finding: Finding): void => {
    count += 1
    if (findings.length < asked.most) findings.push(finding)
  }
  const look = async (line: SegmentLine): Promise<void> => {
    try {
      for (const no of await neededBy(asked, line)) {
        const known = users.get(no)
        if (known === undefined) continue
        known.count += 1
        if (known.first.length < MOST_NAMED) known.first.push(pathIn(line))
      }
    } catch (error) {
      if (!(error instanceof Failure) || !isVaultFault(error)) throw error
      note({ path: pathIn(line), code: error.code, problem: error.message })
    }
  }
  for await (const part of walkTree(asked.backup.tree, { at: 'all' })) {
    if (part.part === 'lost') {
      if (!isVaultFault(part.failure)) throw part.failure
      const { from, ...rest } = showLost(part)
      note({ path: from, ...rest })
      continue
    }
    for (const line of part.entries)
      if (line.entry.type === 'file' && line.entry.skipped === undefined) await look(line)
  }
  return { users, findings, count }
}
