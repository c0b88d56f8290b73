/** Content, tree, fence and pack table as a test writes them, with segments as small as it likes. */
import { blobId } from '#shared/format/blob-id.ts'
import { bytesField } from '#shared/format/byte-text.ts'
import { frameOf, MAX_PIECES } from '#shared/format/frame.ts'
import { encodeLines, type Sealed, type SegmentFormat } from '#shared/format/lines.ts'
import {
  type FullLocator,
  fullLocatorText,
  type Locator,
  locatorText,
} from '#shared/format/locator.ts'
import { nextPackTableLevel, packTableLevel } from '#shared/format/pack-table.ts'
import { encodeEntry, type Entry } from '#shared/format/tree.ts'
import { compareOrder, type Place } from '#shared/format/tree-order.ts'
import { KiB } from '#shared/units.ts'
import { hash64, type PackStore } from './vault-packs.ts'

/** An entry, and the bytes of a file's content without its holes. `line` stands in for the line made from `entry`. */
export type TestEntry = Place & {
  readonly entry: Omit<Entry, 'content' | 'more'>
  readonly data?: Uint8Array
  readonly line?: (content: readonly Locator[]) => string
}

export type TreeOptions = {
  /** Content of a frame, and length of the pieces of a file. */
  readonly frameTarget?: number
  readonly chunk?: number
  readonly entriesPerSegment?: number
  readonly itemsPerFence?: number
  readonly listAbove?: number
  readonly locatorsPerList?: number
  /** Packs that are in the table though no entry needs them. */
  readonly alsoPacks?: readonly number[]
  /** Entries come as they are, not sorted: for hostile trees. */
  readonly asGiven?: boolean
  /** Changes the lines of each segment before they are sealed: for hostile trees. */
  readonly forge?: (format: SegmentFormat, lines: readonly string[]) => readonly string[]
}

export type WrittenFile = {
  readonly test: TestEntry
  readonly content: readonly Locator[]
  /** Segments of its content lists, and the highest of them, which the entry names. */
  readonly lists: readonly Locator[]
  readonly more?: readonly Locator[]
}

/** A segment of the fence, and the range of the tree's segments that it leads to. */
export type FenceNode = {
  readonly locator: Locator
  readonly from: number
  readonly to: number
}
export type TableNode = { readonly locator: Locator; readonly packs: readonly number[] }

export type WrittenTree = {
  /** In the order of the tree. */
  readonly files: readonly WrittenFile[]
  /** The tree's segments: each holds the next `entries` files. */
  readonly segments: readonly { readonly locator: Locator; readonly entries: number }[]
  readonly fence: readonly FenceNode[]
  readonly table: readonly TableNode[]
  readonly fenceRoot: FullLocator
  readonly tableRoot: FullLocator
}

export type Known = {
  readonly store: PackStore
  readonly idKey: Uint8Array
  readonly options: TreeOptions
  /** What the vault holds already: blobs by id, segments by hash. */
  readonly blobs: Map<string, Locator>
  readonly segments: Map<string, Locator>
}

export const writeTree = (known: Known, entries: readonly TestEntry[]): WrittenTree => {
  const { store, options } = known
  const tests = options.asGiven === true ? [...entries] : [...entries].sort(byPlace)
  const contents = writeContent(known, tests)
  store.close('pack')
  const files = tests.map((test, i): WrittenFile => {
    const content = contents[i] ?? []
    const lists = content.length > (options.listAbove ?? 64) ? writeLists(known, content) : null
    return {
      test,
      content,
      lists: lists?.all ?? [],
      ...(lists === null ? {} : { more: lists.top }),
    }
  })
  const segments = writeSegments(known, files)
  store.close('tree')
  const { fence, root } = writeFence(known, segments)
  const used = new Set<number>(options.alsoPacks)
  for (const file of files) for (const l of [...file.content, ...file.lists]) used.add(l[0])
  for (const { locator } of segments) used.add(locator[0])
  const { table, tableRoot } = writeTable(
    known,
    [...used].sort((a, b) => a - b),
  )
  return { files, segments, fence, table, fenceRoot: root, tableRoot }
}

const byPlace = (a: Place, b: Place): number => compareOrder(a.dir, a.name, b.dir, b.name)

const pieces = <T>(list: readonly T[], size: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) =>
    list.slice(i * size, (i + 1) * size),
  )

type Pending = { readonly id: Uint8Array; readonly bytes: Uint8Array; take(locator: Locator): void }

/** Blobs new to the vault go into frames in order; those of all files are answered. */
const writeContent = (
  known: Known,
  tests: readonly TestEntry[],
): readonly (readonly Locator[])[] => {
  const { store, blobs, idKey, options } = known
  const chunk = options.chunk ?? 64 * KiB
  const pending: Pending[] = []
  const waiting = new Set<string>()
  let held = 0
  const flush = (): void => {
    if (pending.length === 0) return
    let offset = 0
    const index = pending.map(({ id, bytes }) => {
      offset += bytes.length
      return { id, offset: offset - bytes.length, length: bytes.length }
    })
    const frame = frameOf(Buffer.concat(pending.map(({ bytes }) => bytes)))
    const locators = store.add('pack', frame, index)
    for (const [i, one] of pending.entries()) {
      const locator = locators[i]
      if (locator !== undefined) one.take(locator)
    }
    pending.length = 0
    waiting.clear()
    held = 0
  }
  const ids = tests.map(({ data = new Uint8Array() }) =>
    Array.from({ length: Math.ceil(data.length / chunk) }, (_, i) => {
      const bytes = data.subarray(i * chunk, (i + 1) * chunk)
      const id = blobId(idKey, bytes)
      const name = Buffer.from(id).toString('base64url')
      if (!blobs.has(name) && !waiting.has(name)) {
        waiting.add(name)
        pending.push({ id, bytes, take: (locator) => blobs.set(name, locator) })
        held += bytes.length
        if (held >= (options.frameTarget ?? 32 * KiB) || pending.length >= MAX_PIECES) flush()
      }
      return name
    }),
  )
  flush()
  return ids.map((list) =>
    list.map((name) => blobs.get(name)).filter((locator) => locator !== undefined),
  )
}

/** One segment of any kind, in a frame of its own; an equal one that the vault holds is not written again. */
const place = ({ store, segments }: Known, segment: Sealed): Locator => {
  const name = hash64(segment.bytes)
  const old = segments.get(name)
  if (old !== undefined) return old
  const piece = { id: segment.sha256, offset: 0, length: segment.bytes.length }
  const [locator] = store.add('tree', frameOf(segment.bytes), [piece])
  if (locator === undefined) throw new RangeError('the store gave no locator')
  segments.set(name, locator)
  return locator
}

const sealLines = (
  { options }: Known,
  format: SegmentFormat,
  { extra, lines }: { readonly extra: string; readonly lines: readonly string[] },
): Sealed => encodeLines(format, extra, options.forge?.(format, lines) ?? lines)

const writeLists = (
  known: Known,
  content: readonly Locator[],
): { readonly top: readonly Locator[]; readonly all: readonly Locator[] } => {
  const size = known.options.locatorsPerList ?? 128
  const all: Locator[] = []
  let below = content
  for (let level = 0; level === 0 || below.length > 64; level += 1) {
    below = pieces(below, size).map((run) => {
      const lines = run.map(locatorText)
      return place(
        known,
        sealLines(known, 'holdfast/content/v1', { extra: `,"level":${level}`, lines }),
      )
    })
    all.push(...below)
  }
  return { top: below, all }
}

const lineOf = ({ test, content, more }: WrittenFile): string => {
  if (test.line !== undefined) return test.line(more ?? content)
  const held = more === undefined ? { content } : { more }
  return encodeEntry(test.name, { ...test.entry, ...(test.entry.type === 'file' ? held : {}) })
}

const writeSegments = (
  known: Known,
  files: readonly WrittenFile[],
): readonly { readonly locator: Locator; readonly entries: number; readonly first: Place }[] =>
  pieces(files, known.options.entriesPerSegment ?? 1000).map((run) => {
    const first = run[0]?.test ?? { dir: '/', name: '' }
    const lines: string[] = []
    let { dir } = first
    for (const file of run) {
      if (file.test.dir !== dir) {
        dir = file.test.dir
        lines.push(`{${bytesField('dir', 'dirb', dir)}}`)
      }
      lines.push(lineOf(file))
    }
    const extra = `,${bytesField('dir', 'dirb', first.dir)}`
    const sealed = sealLines(known, 'holdfast/tree/v1', { extra, lines })
    return { locator: place(known, sealed), entries: run.length, first }
  })

type Item = {
  readonly first: Place
  readonly text: string
  readonly from: number
  readonly to: number
}

const writeFence = (
  known: Known,
  segments: readonly { readonly locator: Locator; readonly first: Place }[],
): { readonly fence: readonly FenceNode[]; readonly root: FullLocator } => {
  const fence: FenceNode[] = []
  let items: readonly Item[] = segments.map(({ locator, first }, i) => ({
    first,
    text: locatorText(locator),
    from: i,
    to: i + 1,
  }))
  for (let level = 0; ; level += 1) {
    const runs = items.length === 0 ? [[]] : pieces(items, known.options.itemsPerFence ?? 1000)
    const nodes = runs.map((run) => {
      const lines = run.map(({ first, text }) => {
        const dir = bytesField('dir', 'dirb', first.dir)
        return `{${dir},${bytesField('n', 'nb', first.name)},"at":${text}}`
      })
      const extra = `,"level":${level}`
      const locator = place(known, sealLines(known, 'holdfast/fence/v1', { extra, lines }))
      return { locator, from: run[0]?.from ?? 0, to: run.at(-1)?.to ?? 0, first: run[0]?.first }
    })
    known.store.close('tree')
    fence.push(...nodes)
    const [only] = nodes
    if (nodes.length === 1 && only !== undefined) {
      return { fence, root: known.store.full(only.locator) }
    }
    items = nodes.map(({ locator, first, from, to }) => ({
      first: first ?? { dir: '/', name: '' },
      text: fullLocatorText(known.store.full(locator)),
      from,
      to,
    }))
  }
}

const writeTable = (
  known: Known,
  packs: readonly number[],
): { readonly table: readonly TableNode[]; readonly tableRoot: FullLocator } => {
  const { store } = known
  const table: TableNode[] = []
  const rows = packs.flatMap((no) => {
    const one = store.placed.get(no)
    if (one === undefined) return []
    const { pack, key, size, sha256, headerHash } = one
    return [{ pack, key, size, sha256, headerHash }]
  })
  let level = packTableLevel(rows)
  for (;;) {
    const placed = level.map((segment) => ({ segment, locator: place(known, segment) }))
    store.close('tree')
    const firsts = level.map(({ first }) => first)
    table.push(
      ...placed.map(({ locator }, i) => ({
        locator,
        packs: packs.filter((no) => no >= (firsts[i] ?? 0) && no < (firsts[i + 1] ?? Infinity)),
      })),
    )
    const full = placed.map(({ segment, locator }) => ({ segment, locator: store.full(locator) }))
    const [root] = full
    if (full.length === 1 && root !== undefined) return { table, tableRoot: root.locator }
    level = nextPackTableLevel(full)
  }
}
