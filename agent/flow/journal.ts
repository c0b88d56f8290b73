/**
 * The files that a run has finished, so that one that is interrupted is gone on with instead of begun anew (decision 15).
 *
 * Order of writes: an entry is written after every pack that it needs is confirmed, so behind their lines in `packs`,
 * which are synced. It is believed when the file is what it was (as for the entries of a parent), and when each of its
 * packs is known and usable in this run: what the order calls gone, what is left and what was lost is not in `known`.
 */
import { problemOf } from '#shared/errors.ts'
import type { PackNo } from '#shared/format/locator.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { GiB, MiB } from '#shared/units.ts'
import { createChain, encodeHead, journalKey, type Ties } from '../core/journal.ts'
import type { Uses } from '../core/live.ts'
import {
  advance,
  createBlockWriter,
  isUnchanged,
  type Cursor,
  type LocalEntry,
} from '../core/local-tree.ts'
import type { Stat } from '../core/stat.ts'
import { usesAt } from '../core/uses-at.ts'
import type { BlockLog, StateFolder, World } from '../ports.ts'
import {
  compareAt,
  joinFiles,
  journalPaths,
  MOST_FILE,
  openJournalFile,
  pack,
  RECORD,
  type JournalFile,
  type JournalPaths,
  type Reading,
} from './journal-file.ts'
import type { Known } from './known.ts'

export type Finished = { readonly cursor: Cursor; readonly uses: Uses }

type Where = { readonly dir: Bytes; readonly name: Bytes; readonly stat: Stat }

export type Journal = {
  /** What an interrupted run made of this file; null: it is to be read. Asked in tree order. */
  find(where: Where): Finished | null
  /** An entry of this run, in tree order. */
  note(entry: LocalEntry): void
  /** Packs were confirmed. */
  move(): void
  /** Packs to be closed early, because too much waits for them. */
  wanted(): readonly ('pack' | 'tree')[]
  /** The first walk is over; later ones go along its tree, and in that only what is missing is read. */
  rest(): void
  /** The backup exists. */
  remove(): void
  close(): void
}

export type JournalParts = {
  readonly state: StateFolder
  readonly world: Pick<World, 'log' | 'turn'>
  readonly known: Pick<Known, 'row'>
  readonly ties: Ties
  readonly gcEpoch: number
  readonly packBytes: number
}

/** Packed records kept in memory until their packs are confirmed; beyond twice this, files are not noted. */
const MOST_WAITING = 8 * MiB
/** Packs of waiting content from which on a tree pack is closed early: content lists alone fill one too slowly. */
const MOST_PACKS = 32
/** Synced after so much: losing the end costs reading it again. */
const SYNC_BYTES = MiB
const SYNC_CONTENT = 4 * GiB

type Waiting = {
  readonly packed: Uint8Array
  readonly content: number
  readonly packs: Set<PackNo>
}

const areKnown = (known: Pick<Known, 'row'>, packs: Set<PackNo>): boolean => {
  for (const no of packs) if (known.row(no) !== undefined) packs.delete(no)
  return packs.size === 0
}

type Out = { put(block: Pick<Waiting, 'packed' | 'content'>): void; close(): void }

/** Begins the file with the first entry. A disk that refuses ends the journal, not the backup. */
const createOut = (parts: JournalParts, path: string, key: Uint8Array): Out => {
  const { state, world, gcEpoch } = parts
  const chain = createChain(key)
  let log: BlockLog | null = null
  let left = MOST_FILE
  const unsynced = { bytes: 0, content: 0 }
  const begin = (): BlockLog => {
    const begun = state.blockLog(path)
    log = begun
    begun.write(chain.seal(encodeHead(gcEpoch)))
    return begun
  }
  const write = ({ packed, content }: Pick<Waiting, 'packed' | 'content'>): void => {
    const to = log ?? begin()
    to.write(chain.seal(packed))
    left -= packed.length
    unsynced.bytes += packed.length
    unsynced.content += content
    if (unsynced.bytes < SYNC_BYTES && unsynced.content < SYNC_CONTENT) return
    to.sync()
    Object.assign(unsynced, { bytes: 0, content: 0 })
  }
  return {
    put: (block) => {
      if (left < block.packed.length) return
      try {
        write(block)
      } catch (error) {
        left = 0
        world.log.warn({ problem: problemOf(error) }, 'the journal cannot be written')
      }
    },
    close: () => {
      log?.close()
      log = null
      left = 0
    },
  }
}

type Writing = Pick<Journal, 'note' | 'move' | 'wanted'> & { close(): void }

const createWriting = (parts: JournalParts, out: Out): Writing => {
  const { known, packBytes } = parts
  const writer = createBlockWriter()
  let packs = new Set<PackNo>()
  let content = 0
  let queue: Waiting[] = []
  const waiting = { bytes: 0, content: 0 }
  /** Records that go out before packs are closed early again. */
  let relieved = 0
  const drain = (): void => {
    let done = 0
    for (const block of queue) {
      if (!areKnown(known, block.packs)) break
      out.put(block)
      waiting.bytes -= block.packed.length
      waiting.content -= block.content
      done += 1
    }
    relieved = Math.max(0, relieved - done)
    if (done > 0) queue = queue.slice(done)
  }
  const seal = (): void => {
    const packed = pack(writer.take())
    if (waiting.bytes < 2 * MOST_WAITING) {
      queue.push({ packed, content, packs })
      waiting.bytes += packed.length
      waiting.content += content
    }
    packs = new Set()
    content = 0
    drain()
  }
  return {
    note: ({ needs, ...entry }) => {
      if (needs === undefined || needs.length === 0 || entry.signature === null) return
      writer.append(entry)
      for (const [no] of needs) packs.add(no)
      content += entry.signature.size
      if (writer.size >= RECORD || content >= packBytes) seal()
    },
    move: () => {
      drain()
      if (queue.length === 0 && writer.size > 0 && areKnown(known, packs)) seal()
    },
    wanted: () => {
      if (relieved > 0) return []
      const isLong = waiting.bytes >= MOST_WAITING
      if (!isLong && waiting.content < MOST_PACKS * packBytes) return []
      relieved = queue.length
      return isLong ? ['pack', 'tree'] : ['tree']
    },
    close: () => {
      queue = []
      out.close()
    },
  }
}

const finder = (parts: JournalParts, file: JournalFile): Journal['find'] => {
  const { cursor } = file
  return ({ dir, name, stat }) => {
    while (cursor.valid && compareAt(cursor, dir, name) < 0) advance(cursor)
    if (!cursor.valid || compareAt(cursor, dir, name) !== 0) return null
    if (!isUnchanged(cursor, stat)) return null
    const uses = usesAt(cursor)
    return uses.every(([no]) => parts.known.row(no) !== undefined) ? { cursor, uses } : null
  }
}

/** What earlier runs left, as one file; null where that is nothing. */
const openEarlier = async (reading: Reading, paths: JournalPaths): Promise<JournalFile | null> => {
  const { state, world } = reading
  try {
    await joinFiles(reading, paths)
    const file = openJournalFile(reading, paths.older)
    if (file === null) state.remove(paths.older)
    return file
  } catch (error) {
    world.log.warn({ problem: problemOf(error) }, 'the journal cannot be used')
    state.remove(paths.older)
    state.remove(paths.newer)
    return null
  }
}

export const openJournal = async (parts: JournalParts, job: string): Promise<Journal> => {
  const { state, world, gcEpoch } = parts
  const key = journalKey(parts.ties)
  const paths = journalPaths(job)
  let file = await openEarlier({ key, state, world, gcEpoch }, paths)
  const find = file === null ? null : finder(parts, file)
  const writing = createWriting(parts, createOut(parts, paths.newer, key))
  let isFirst = true
  const rest = (): void => {
    isFirst = false
    file?.close()
    file = null
  }
  const close = (): void => {
    rest()
    writing.close()
  }
  return {
    find: (where) => (isFirst && find !== null ? find(where) : null),
    note: (entry) => {
      if (isFirst) writing.note(entry)
    },
    move: writing.move,
    wanted: writing.wanted,
    rest,
    remove: () => {
      close()
      state.remove(paths.newer)
      state.remove(paths.older)
    },
    close,
  }
}
