/** The two files of a journal: what earlier runs finished, and what this one finishes; read as one. */
import { problemOf } from '#shared/errors.ts'
import { decodeFrame, encodeFrame } from '#shared/format/zstd.ts'
import { view } from '#shared/format/bytes.ts'
import { compareDirs } from '#shared/format/tree-order.ts'
import { MiB } from '#shared/units.ts'
import { createChain, encodeHead, headEpoch, TAG_BYTES } from '../core/journal.ts'
import { advance, BLOCK, createBlockWriter, createCursor, type Cursor } from '../core/local-tree.ts'
import type { BlockSource, StateFolder, World } from '../ports.ts'

/** Each of the two at most: some 5 million files. What comes after it is read again. */
export const MOST_FILE = 512 * MiB
/** Raw bytes of entries in one record. */
export const RECORD = BLOCK / 4
/** An entry has some 64 KiB, or the uses of a large file. */
const MOST_RAW = 64 * BLOCK
/** Speed counts here, not size. */
const EFFORT = { level: 1 }

export const pack = (raw: Uint8Array): Uint8Array => encodeFrame(raw, EFFORT)

export type JournalPaths = { readonly older: string; readonly newer: string }

export const journalPaths = (job: string): JournalPaths => ({
  older: `jobs/${job}/finished`,
  newer: `jobs/${job}/finished-next`,
})

export type Reading = {
  readonly key: Uint8Array
  readonly state: StateFolder
  readonly world: Pick<World, 'log' | 'turn'>
  /** What the control plane has told of deletions up to now: a journal from beyond it is of another past. */
  readonly gcEpoch: number
}

export type JournalFile = { readonly cursor: Cursor; readonly epoch: number; close(): void }

/** null: not there, or not ours. What is torn or damaged is where it ends. */
export const openJournalFile = (reading: Reading, path: string): JournalFile | null => {
  const { state, world, key, gcEpoch } = reading
  const source: BlockSource | null = state.blocks(path, 'anywhere')
  if (source === null) return null
  const chain = createChain(key)
  const open = (): Uint8Array | null => {
    try {
      const record = source.next()
      if (record === null) return null
      const content = record.length < TAG_BYTES ? null : chain.open(record)
      if (content === null)
        world.log.warn({ path }, 'the journal is damaged: the rest is read again')
      return content
    } catch (error) {
      world.log.warn(
        { path, problem: problemOf(error) },
        'the journal ends too early: the rest is read again',
      )
      return null
    }
  }
  const head = open()
  const epoch = head === null ? Number.NaN : headEpoch(head)
  if (!(epoch <= gcEpoch)) {
    source.close()
    return null
  }
  let ended = false
  const cursor = createCursor(() => {
    const packed = ended ? null : open()
    ended = packed === null
    return packed === null ? null : { raw: view(decodeFrame(packed, MOST_RAW)), packed }
  })
  advance(cursor)
  return { cursor, epoch, close: () => source.close() }
}

/** In tree order; below 0 when `at` stands before it. */
export const compareAt = (at: Cursor, dir: string, name: string): number => {
  if (at.dir !== dir) return compareDirs(at.dir, dir)
  if (at.name === name) return 0
  return at.name < name ? -1 : 1
}

/** Which of the two comes next; both when they stand on the same path. */
const orderOf = (a: Cursor, b: Cursor): number => {
  if (!a.valid) return 1
  return b.valid ? compareAt(a, b.dir, b.name) : -1
}

type Both = { readonly older: JournalFile; readonly newer: JournalFile }

const merge = async (reading: Reading, path: string, { older, newer }: Both): Promise<void> => {
  const { state, world, key } = reading
  const chain = createChain(key)
  const sink = state.newBlocks(path)
  const writer = createBlockWriter()
  let size = 0
  const put = (content: Uint8Array): void => {
    const record = chain.seal(content)
    size += record.length
    sink.write(record)
  }
  try {
    put(encodeHead(Math.max(older.epoch, newer.epoch)))
    const [a, b] = [older.cursor, newer.cursor]
    while ((a.valid || b.valid) && size < MOST_FILE) {
      const order = orderOf(a, b)
      const next = order < 0 ? a : b
      const { block, from, to, dir } = next
      writer.copy({ block, from, to, dir, endDir: dir })
      if (order === 0) advance(a)
      advance(next)
      if (writer.size < RECORD) continue
      put(pack(writer.take()))
      await world.turn()
    }
    if (writer.size > 0) put(pack(writer.take()))
    older.close()
    newer.close()
    sink.finish()
  } finally {
    sink.discard()
  }
}

/**
 * Makes one file of what two runs left, in tree order, the newer of two entries winning. A crash before the rename leaves
 * both, a crash after it the newer once more, which changes nothing.
 */
export const joinFiles = async (
  reading: Reading,
  { older, newer }: JournalPaths,
): Promise<void> => {
  const { state } = reading
  const second = openJournalFile(reading, newer)
  if (second === null) {
    state.remove(newer)
    return
  }
  const first = openJournalFile(reading, older)
  if (first === null) {
    second.close()
    state.rename(newer, older)
    return
  }
  await merge(reading, older, { older: first, newer: second })
  state.remove(newer)
}
