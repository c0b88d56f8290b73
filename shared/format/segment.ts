/** The stream of a tree's lines ⇄ segments. FORMAT.md, "Tree segments". */
import { fail } from '../errors.ts'
import { bytesField, parseBytes } from './byte-text.ts'
import { createCutter, TREE_RULE } from './cutter.ts'
import {
  decodeLines,
  encodeLines,
  type Header,
  type Line,
  lineLength,
  type Sealed,
} from './lines.ts'
import { createNameHash } from './name-hash.ts'
import type { Entry } from './tree.ts'
import { entryOf, parseLine, type RawLine } from './tree-decode.ts'
import { type Bytes, compareDirs, compareOrder, isDir, type Place } from './tree-order.ts'

export { verifySegment } from './lines.ts'

export type Segment = Sealed & { readonly first: Place }

export type Segmenter = {
  /**
   * Takes the next entry, `line` as `encodeEntry` made it (memory that it lies in must stay as it is until its segment is
   * there); must come in strictly ascending order. Answers the segments that are complete now: they lag by at least 640
   * entries, and by at most 16 MiB of lines.
   */
  push(dir: Bytes, name: Bytes, line: Line): readonly Segment[]
  end(): readonly Segment[]
}

type Item = Place & { readonly line: Line }

const FORMAT = 'holdfast/tree/v1'

/** Cuts by a keyed hash of (directory, name); `segmentKey` has 32 bytes. */
export const createSegmenter = (segmentKey: Uint8Array): Segmenter => {
  const hashOf = createNameHash(segmentKey)
  const cutter = createCutter<Item>(TREE_RULE)
  let dir: Bytes = ''
  let name: Bytes = ''
  return {
    push: (nextDir, nextName, line) => {
      if (dir !== '' && compareOrder(dir, name, nextDir, nextName) >= 0) {
        throw new RangeError('the entries of a tree must come in ascending order')
      }
      // The marker counts for whoever brings a new directory, wherever cuts fall.
      const marker = nextDir === dir ? 0 : Buffer.byteLength(markerOf(nextDir)) + 1
      const size = lineLength(line) + 1 + marker
      dir = nextDir
      name = nextName
      const runs = cutter.push({ dir, name, line }, hashOf(dir, name), size)
      return runs.length === 0 ? NONE : runs.map(segmentOf)
    },
    end: () => cutter.end().map(segmentOf),
  }
}

const NONE: readonly Segment[] = []

const markerOf = (dir: Bytes): string => `{${bytesField('dir', 'dirb', dir)}}`

const segmentOf = (items: readonly Item[]): Segment => {
  const [first] = items
  if (first === undefined) throw new RangeError('a segment has entries')
  const lines: Line[] = []
  let dir = first.dir
  for (const item of items) {
    if (item.dir !== dir) {
      dir = item.dir
      lines.push(markerOf(dir))
    }
    lines.push(item.line)
  }
  const sealed = encodeLines(FORMAT, `,${bytesField('dir', 'dirb', first.dir)}`, lines)
  return { ...sealed, first: { dir: first.dir, name: first.name } }
}

export type SegmentLine = Place & { readonly line: string; readonly entry: Entry }

/**
 * The entries of a segment in order. `DAMAGED` as soon as one is not what a writer writes, or not strictly after the
 * one before; check its SHA-256 first (`verifySegment`).
 */
export function* readSegment(bytes: Uint8Array): Generator<SegmentLine, void, void> {
  const { header, lines } = decodeLines(bytes, FORMAT)
  let dir = dirOf(header)
  let name = ''
  for (const line of lines) {
    const raw = parseLine(line)
    if (raw.dir !== undefined || raw.dirb !== undefined) {
      const next = dirOf(raw)
      // No marker may follow another, nor the header: each has entries.
      if (name === '' || compareDirs(dir, next) >= 0)
        throw damaged('its directories are not in order')
      dir = next
      name = ''
      continue
    }
    const named = entryOf(raw)
    if (named.name <= name) throw damaged('its names are not in order')
    name = named.name
    yield { dir, name, line, entry: named.entry }
  }
  if (name === '') throw damaged('its last directory is empty')
}

const dirOf = (raw: Header | RawLine): Bytes => {
  const dir = parseBytes(raw.dir, raw.dirb)
  if (dir === undefined || !isDir(dir)) throw damaged('its directory cannot be one')
  return dir
}

const damaged = (problem: string): Error =>
  fail('DAMAGED', { what: 'A segment of the tree', problem })
