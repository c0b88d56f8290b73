/**
 * Entries with the content of their files, in order, in bounded memory: a window of content is read while the one before
 * it is used. A window spans small files, so that those that share a frame cost one read together.
 */
import { showPath } from '#shared/api/file-ids.ts'
import { fail, Failure } from '#shared/errors.ts'
import type { Locator } from '#shared/format/locator.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { pathOf } from '#shared/format/tree-order.ts'
import { ahead } from '#shared/read/ahead.ts'
import { contentOf } from '#shared/read/content.ts'
import type { Wanted } from '#shared/read/plan.ts'
import { MiB } from '#shared/units.ts'
import { type Pieces, readPieces } from './read-pieces.ts'

/** `content` false: the entry alone. */
export type Chosen = { readonly line: SegmentLine; readonly content: boolean }

export type ContentPart =
  | { readonly at: 'entry'; readonly line: SegmentLine }
  /** Of the entry before it; holes are left out. */
  | { readonly at: 'bytes'; readonly bytes: Uint8Array }

/** A window ends with the slice that brings it to so many bytes or slices. */
const WINDOW_BYTES = 8 * MiB
const WINDOW_SLICES = 4096

type Slice =
  | { readonly line: SegmentLine; readonly locator: null }
  | { readonly line: SegmentLine; readonly locator: Locator }

/**
 * Locators of a file, which together are exactly as long as the file without its holes: inline ones were checked when the
 * line was read, listed ones can only be here. An archive that says one length and holds another would be read as
 * something else.
 */
export async function* wholeContent(
  tree: Pieces['backup']['tree'],
  line: SegmentLine,
): AsyncGenerator<Locator, void, void> {
  const { size = 0, holes = [] } = line.entry
  let left = size - holes.reduce((sum, [, length]) => sum + length, 0)
  const wrong = (): Error =>
    about(line, fail('DAMAGED', { what: 'It', problem: 'its pieces are not as long as the file' }))
  for await (const run of contentOf(tree, line.entry))
    for (const locator of run) {
      left -= locator[4]
      if (left < 0) throw wrong()
      yield locator
    }
  if (left > 0) throw wrong()
}

async function* slicesOf(
  { backup }: Pieces,
  chosen: AsyncIterable<Chosen>,
): AsyncGenerator<Slice, void, void> {
  for await (const { line, content } of chosen) {
    yield { line, locator: null }
    if (!content || line.entry.type !== 'file') continue
    for await (const locator of wholeContent(backup.tree, line)) yield { line, locator }
  }
}

async function* windowsOf(
  slices: AsyncIterable<Slice>,
): AsyncGenerator<readonly Slice[], void, void> {
  let window: Slice[] = []
  let bytes = 0
  for await (const slice of slices) {
    window.push(slice)
    bytes += slice.locator?.[4] ?? 0
    if (bytes < WINDOW_BYTES && window.length < WINDOW_SLICES) continue
    yield window
    window = []
    bytes = 0
  }
  if (window.length > 0) yield window
}

/** The failure of an object, and which file it concerns. */
export const about = ({ dir, name }: SegmentLine, failure: Failure): Failure => {
  const path = showPath(pathOf(dir, name))
  const details =
    failure.code === 'DAMAGED'
      ? { ...failure.details, what: `The content of ${path}`, path }
      : { ...failure.details, path }
  return new Failure(failure.code, details, { cause: failure })
}

const fetchWindow = async (
  pieces: Pieces,
  window: readonly Slice[],
): Promise<readonly ContentPart[]> => {
  const wanted = window.flatMap(({ locator }, by): Wanted<number>[] =>
    locator === null ? [] : [{ locator, by }],
  )
  const found = new Map<number, Uint8Array>()
  for await (const { piece, bytes } of readPieces(pieces, wanted))
    for (const by of piece.by) {
      const slice = window[by]
      if (bytes instanceof Failure) throw slice === undefined ? bytes : about(slice.line, bytes)
      found.set(by, bytes)
    }
  return window.map(({ line, locator }, by): ContentPart =>
    locator === null
      ? { at: 'entry', line }
      : { at: 'bytes', bytes: found.get(by) ?? new Uint8Array() },
  )
}

/** Throws where content cannot be had or is not what it says; nothing unchecked is ever given out. */
export async function* streamContent(
  pieces: Pieces,
  chosen: AsyncIterable<Chosen>,
): AsyncGenerator<ContentPart, void, void> {
  const windows = windowsOf(slicesOf(pieces, chosen))
  for await (const parts of ahead(windows, 1, async (window) => fetchWindow(pieces, window)))
    yield* parts
}
