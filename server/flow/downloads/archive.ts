/** The bytes of a prepared object before it is encrypted: a file as it was, or a folder as one tar in one zstd frame. */
import { constants, createZstdCompress } from 'node:zlib'
import { createFiller } from '../../core/file-holes.ts'
import { isInTar, TAR_END, tarHead } from '../../core/tar.ts'
import type { Entry } from '#shared/format/tree.ts'
import { type Bytes, pathOf, type Place } from '#shared/format/tree-order.ts'
import { walkTree } from '#shared/read/tree.ts'
import { placeOf } from '#shared/read/select.ts'
import { KiB } from '#shared/units.ts'
import type { Pieces } from '../reading/read-pieces.ts'
import { type Chosen, streamContent } from '../reading/stream-content.ts'
import { type PlannedObject, scopeOfObject } from './plan-download.ts'

/** Called with the bytes of content that went out, and once more with each entry that is done. */
export type Note = { content(bytes: number): void; entry(): void }

/** Names of one file that are remembered, so that the later ones become links; beyond it they are files of their own. */
const MOST_LINKS = 100_000
const LEVEL = 3
const GATHER = 256 * KiB

async function* chosenFile(
  line: NonNullable<PlannedObject['file']>,
): AsyncGenerator<Chosen, void, void> {
  yield await Promise.resolve({ line, content: true })
}

/** A single file: its bytes, holes filled. */
export async function* fileBytes(
  pieces: Pieces,
  line: NonNullable<PlannedObject['file']>,
  note: Note,
): AsyncGenerator<Uint8Array, void, void> {
  const filler = createFiller(line.entry)
  for await (const part of streamContent(pieces, chosenFile(line))) {
    if (part.at === 'entry') continue
    note.content(part.bytes.length)
    yield* filler.push(part.bytes)
  }
  yield* filler.end()
  note.entry()
}

/** Paths in the archive are those below the folder's parent; of everything, those below the root. */
const namer = (path: Bytes | null): ((place: Place) => Bytes) => {
  const parent = path === null ? '/' : placeOf(path).dir
  const skip = parent === '/' ? 1 : parent.length + 1
  return ({ dir, name }) => pathOf(dir, name).slice(skip)
}

type Links = { linkOf(entry: Entry, path: Bytes): Bytes | null }

const createLinks = (): Links => {
  const first = new Map<string, Bytes>()
  return {
    linkOf: ({ hardlink, type }, path) => {
      if (hardlink === undefined || type !== 'file') return null
      const known = first.get(hardlink)
      if (known !== undefined) return known
      if (first.size < MOST_LINKS) first.set(hardlink, path)
      return null
    },
  }
}

type Walk = { readonly links: Map<Bytes, Bytes>; readonly nameOf: (place: Place) => Bytes }

/** Entries of the object in order; those that are links to earlier ones are noted in `walk.links`. */
async function* chosenOf(
  { backup }: Pieces,
  object: PlannedObject,
  walk: Walk,
): AsyncGenerator<Chosen, void, void> {
  const links = createLinks()
  for await (const part of walkTree(backup.tree, scopeOfObject(object))) {
    if (part.part === 'lost') throw part.failure
    for (const line of part.entries) {
      if (!isInTar(line.entry)) continue
      const path = walk.nameOf(line)
      const link = links.linkOf(line.entry, path)
      if (link !== null) walk.links.set(path, link)
      yield { line, content: link === null }
    }
  }
}

async function* tarBytes(
  pieces: Pieces,
  object: PlannedObject,
  note: Note,
): AsyncGenerator<Uint8Array, void, void> {
  const walk: Walk = { links: new Map(), nameOf: namer(object.path) }
  let padding = 0
  for await (const part of streamContent(pieces, chosenOf(pieces, object, walk))) {
    if (part.at === 'bytes') {
      note.content(part.bytes.length)
      yield part.bytes
      continue
    }
    yield new Uint8Array(padding)
    const path = walk.nameOf(part.line)
    const link = walk.links.get(path)
    walk.links.delete(path)
    const { entry } = part.line
    const made = tarHead({ path, entry, ...(link === undefined ? {} : { linkTo: link }) })
    padding = made.padding
    note.entry()
    yield made.head
  }
  yield new Uint8Array(padding)
  yield TAR_END
}

/** Small pieces together: each write to the compressor is a task of its own. */
async function* gathered(plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  let held: Uint8Array[] = []
  let size = 0
  for await (const bytes of plain) {
    held.push(bytes)
    size += bytes.length
    if (size < GATHER) continue
    yield Buffer.concat(held)
    held = []
    size = 0
  }
  yield Buffer.concat(held)
}

/** One zstd frame with a checksum; compressed in the thread pool, a chunk at a time. */
async function* compressed(
  plain: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const zstd = createZstdCompress({
    params: {
      [constants.ZSTD_c_compressionLevel]: LEVEL,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  })
  const out: Uint8Array[] = []
  zstd.on('data', (bytes: Uint8Array) => out.push(bytes))
  const broken = new Promise<never>((_, reject) => zstd.once('error', reject))
  broken.catch(() => undefined)
  const done = new Promise<void>((resolve) => zstd.once('end', resolve))
  const write = async (bytes: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      zstd.write(bytes, (error) =>
        error === null || error === undefined ? resolve() : reject(error),
      )
    })
  try {
    for await (const bytes of gathered(plain)) {
      if (bytes.length > 0) await Promise.race([write(bytes), broken])
      yield* out.splice(0)
    }
    zstd.end()
    await Promise.race([done, broken])
    yield* out.splice(0)
  } finally {
    zstd.destroy()
  }
}

export const objectBytes = (
  pieces: Pieces,
  object: PlannedObject,
  note: Note,
): AsyncGenerator<Uint8Array, void, void> =>
  object.file === null
    ? compressed(tarBytes(pieces, object, note))
    : fileBytes(pieces, object.file, note)
