/** The frozen bytes of format version 1: content, trees, fence, pack table. See test/vectors/README.md. */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createBlobIds } from '#shared/format/blob-id.ts'
import { toHex } from '#shared/format/bytes.ts'
import { createChunker, gearTable } from '#shared/format/chunker.ts'
import { contentLevel, readContentList } from '#shared/format/content-list.ts'
import { fenceLevel, nextFenceLevel, readFence } from '#shared/format/fence.ts'
import { decodeFrame } from '#shared/format/frame.ts'
import type { FullLocator, Locator, PackNo } from '#shared/format/locator.ts'
import { createNameHash } from '#shared/format/name-hash.ts'
import { packIndexOf } from '#shared/format/pack.ts'
import {
  nextPackTableLevel,
  type PackRow,
  packTableLevel,
  readPackTable,
} from '#shared/format/pack-table.ts'
import { checkPadding, paddingFrame, readTrailer } from '#shared/format/padding.ts'
import { createSegmenter, readSegment, type Segment } from '#shared/format/segment.ts'
import { encodeEntry, type Entry } from '#shared/format/tree.ts'
import { decodeEntry } from '#shared/format/tree-decode.ts'
import { bytesOf, idOf } from '../../support/format-material.ts'

const load = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../vectors/v1/${name}.json`, import.meta.url), 'utf8'))
const raw = (hex: string): string => Buffer.from(hex, 'hex').toString('latin1')
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
const base64 = (data: Uint8Array): string => Buffer.from(data).toString('base64')
const sha = (data: Uint8Array): string => hash('sha256', data, 'hex')

test('the gear values and the cuts', () => {
  type Cuts = { size: number; cuts: number[] }
  const v = load('chunker') as {
    chunker_key: string
    gear_first: number[]
    gear_sha256: string
    plain: Cuts
    plain_shifted_by_one: Cuts
    zeros: Cuts
    repeated_text: Cuts & { text: string }
  }
  const key = bytes(v.chunker_key)
  const gear = Buffer.alloc(1024)
  for (const [i, value] of gearTable(key).entries()) gear.writeInt32LE(value, 4 * i)
  expect(sha(gear)).toBe(v.gear_sha256)
  expect(v.gear_first.map((_, i) => gear.readUInt32LE(4 * i))).toEqual(v.gear_first)
  const chunker = createChunker(key)
  const cuts = (data: Uint8Array): number[] => {
    const found: number[] = []
    for (let at = 0; at < data.length; found.push(at)) at = chunker.cut(data, at, data.length)
    return found
  }
  const plain = bytesOf(v.plain.size)
  expect(cuts(plain)).toEqual(v.plain.cuts)
  expect(cuts(plain.subarray(1))).toEqual(v.plain_shifted_by_one.cuts)
  expect(cuts(new Uint8Array(v.zeros.size))).toEqual(v.zeros.cuts)
  expect(cuts(Buffer.alloc(v.repeated_text.size, v.repeated_text.text))).toEqual(
    v.repeated_text.cuts,
  )
})

test('the ids of blobs', () => {
  const v = load('blob-id') as { id_key: string; ids: { size: number; id: string }[] }
  const ids = createBlobIds(bytes(v.id_key))
  for (const { size, id } of v.ids) {
    expect(Buffer.from(ids(bytesOf(size))).toString('base64url')).toBe(id)
  }
})

test('the hashes of places', () => {
  const v = load('name-hash') as {
    segment_key: string
    places: { dir: string; name: string; hash: number }[]
  }
  const hash = createNameHash(bytes(v.segment_key))
  for (const place of v.places) expect(hash(raw(place.dir), raw(place.name))).toBe(place.hash)
})

describe('the lines of a tree', () => {
  type Json = Omit<Entry, 'mtime'> & { mtime: string }
  const v = load('tree') as { entries: { name: string; entry: Json; line: string }[] }
  const entryOf = (json: Json): Entry => ({
    ...json,
    mtime: BigInt(json.mtime),
    ...(json.target === undefined ? {} : { target: raw(json.target) }),
    ...(json.xattrs === undefined
      ? {}
      : { xattrs: json.xattrs.map(([a, b]) => [raw(a), raw(b)] as const) }),
  })
  test.each(v.entries)('$line', ({ name, entry, line }) => {
    expect(encodeEntry(raw(name), entryOf(entry))).toBe(line)
    expect(decodeEntry(line)).toEqual({ name: raw(name), entry: entryOf(entry) })
  })
})

const p4 = (n: number): string => String(n).padStart(4, '0')
const locator = (n: number): Locator => [
  2 ** 32 + 1 + Math.floor(n / 100),
  (n % 100) * 4096,
  4096,
  0,
  1000 + n,
  idOf(`blob ${String(n)}`),
]
const file = (i: number, blobs: number): Entry => {
  const content = Array.from({ length: blobs }, (_, k) => locator(i + k))
  const size = content.reduce((sum, part) => sum + part[4], 0)
  return { type: 'file', mode: 0o644, uid: 0, gid: 0, size, mtime: BigInt(i), content }
}
type Shown = { first: { dir: string; name: string }; bytes: number; sha256: string }
const show = (segment: Segment): Shown => ({
  first: segment.first,
  bytes: segment.bytes.length,
  sha256: toHex(segment.sha256),
})

test('the segments of a tree, where they are cut, and their bytes', () => {
  const v = load('segment') as {
    segment_key: string
    many: { segments: Shown[] }
    wide: { segments: Shown[] }
    small: { base64: string; sha256: string }
  }
  const cut = (count: number, dir: (i: number) => string, blobs: number): Shown[] => {
    const segmenter = createSegmenter(bytes(v.segment_key))
    const segments = Array.from({ length: count }, (_, i) => {
      const name = `f${p4(i)}`
      return segmenter.push(dir(i), name, encodeEntry(name, file(i, blobs)))
    })
    return [...segments.flat(), ...segmenter.end()].map(show)
  }
  expect(cut(9000, (i) => `/d${p4(Math.floor(i / 10))}`, 1)).toEqual(v.many.segments)
  expect(cut(800, () => '/w', 64)).toEqual(v.wide.segments)
  const small = Buffer.from(v.small.base64, 'base64')
  expect(sha(small)).toBe(v.small.sha256)
  const again = createSegmenter(bytes(v.segment_key))
  for (const { dir, name, line } of readSegment(small)) again.push(dir, name, line)
  expect(again.end().map(({ bytes: made }) => base64(made))).toEqual([v.small.base64])
})

const full = (
  { bytes: made, sha256 }: { bytes: Uint8Array; sha256: Uint8Array },
  j: number,
): FullLocator => {
  const id = Buffer.from(sha256).toString('base64url')
  const key = 'vaults/v/trees/ab/1.10-ab.age'
  return [
    2 ** 32 + 10,
    5000 * j,
    5000,
    0,
    made.length,
    id,
    key,
    65536,
    idOf('object'),
    idOf('header'),
  ]
}

test('a fence', () => {
  const v = load('fence') as {
    segment_key: string
    leaves: Shown[]
    root: { base64: string }
    small: { base64: string }
    empty: { base64: string }
  }
  const key = bytes(v.segment_key)
  const items = Array.from({ length: 5000 }, (_, i) => ({
    first: { dir: `/d${p4(Math.floor(i / 10))}`, name: `f${p4(i)}` },
    locator: [2 ** 32 + 9, 1000 * i, 1000, 0, 250_000, idOf(`segment ${String(i)}`)] as const,
  }))
  const leaves = fenceLevel(key, items)
  expect(leaves.map(show)).toEqual(v.leaves)
  const root = nextFenceLevel(
    key,
    leaves.map((segment, j) => ({ segment, locator: full(segment, j) })),
  )
  expect(root.map((segment) => base64(segment.bytes))).toEqual([v.root.base64])
  expect(fenceLevel(key, []).map((segment) => base64(segment.bytes))).toEqual([v.empty.base64])
  const small = readFence(Buffer.from(v.small.base64, 'base64'))
  expect('items' in small && small.items.map((item) => item.first)).toEqual([
    { dir: '/', name: 'a' },
    { dir: '/gr\xc3\xbc\xc3\x9fe', name: '\xff' },
    { dir: '/\xff', name: 'z' },
  ])
})

test('a pack table', () => {
  const v = load('pack-table') as {
    leaves: { first: PackNo; bytes: number; sha256: string }[]
    root: { base64: string }
    small: { packs: PackNo[]; base64: string }
  }
  const row = (pack: PackNo): PackRow => ({
    pack,
    key: `vaults/v/packs/ab/${String(pack)}-ab.age`,
    size: pack % 100_000,
    sha256: idOf(`sha ${String(pack)}`),
    headerHash: idOf(`header ${String(pack)}`),
  })
  const packs = [
    ...Array.from({ length: 700 }, (_, i) => 4_294_967_297 + i),
    ...Array.from({ length: 300 }, (_, i) => 12_884_901_938 + i),
  ]
  const leaves = packTableLevel(packs.map(row))
  expect(
    leaves.map(({ first, bytes: made, sha256 }) => ({
      first,
      bytes: made.length,
      sha256: toHex(sha256),
    })),
  ).toEqual(v.leaves)
  const root = nextPackTableLevel(
    leaves.map((segment, j) => ({ segment, locator: full(segment, j) })),
  )
  expect(root.map((segment) => base64(segment.bytes))).toEqual([v.root.base64])
  expect(readPackTable(Buffer.from(v.small.base64, 'base64'))).toEqual({
    level: 0,
    rows: v.small.packs.map(row),
  })
})

test('content lists', () => {
  type List = { lines: number; sha256: string }
  const v = load('content-list') as { lists: List[]; same: List[]; upper: { base64: string } }
  const shown = (segments: readonly { bytes: Uint8Array; sha256: Uint8Array }[]): List[] =>
    segments.map(({ bytes: made, sha256 }) => ({
      lines: readContentList(made).locators.length,
      sha256: toHex(sha256),
    }))
  const lists = contentLevel(
    Array.from({ length: 3000 }, (_, i) => locator(i)),
    0,
  )
  expect(shown(lists)).toEqual(v.lists)
  expect(
    shown(
      contentLevel(
        Array.from({ length: 3000 }, () => locator(1)),
        0,
      ),
    ),
  ).toEqual(v.same)
  const upper = contentLevel(
    lists.map(({ bytes: made, sha256 }, j): Locator => {
      const id = Buffer.from(sha256).toString('base64url')
      return [2 ** 32 + 11, 9000 * j, 9000, 0, made.length, id]
    }),
    1,
  )
  expect(upper.map((segment) => base64(segment.bytes))).toEqual([v.upper.base64])
})

test('a pack', () => {
  const v = load('pack') as {
    id_key: string
    bytes: number
    sha256: string
    before_padding: string
    contents: string[]
    index: ReturnType<typeof packIndexOf>
  }
  const before = Buffer.from(v.before_padding, 'base64')
  const last = v.index.at(-1)!
  const offset = last.offset + last.length
  const plaintext = Buffer.concat([
    before,
    paddingFrame(before.length, { offset, length: before.length - offset }),
  ])
  expect([plaintext.length, sha(plaintext)]).toEqual([v.bytes, v.sha256])
  checkPadding(plaintext, before.length, readTrailer(plaintext.subarray(-16), plaintext.length))
  expect(packIndexOf(plaintext)).toEqual(v.index)
  const ids = createBlobIds(bytes(v.id_key))
  for (const [i, frame] of v.index.entries()) {
    const content = decodeFrame(plaintext.subarray(frame.offset, frame.offset + frame.length))
    expect(sha(content)).toBe(v.contents[i])
    for (const piece of frame.pieces) {
      const blob = content.subarray(piece.offset, piece.offset + piece.length)
      expect(Buffer.from(ids(blob)).toString('base64url')).toBe(piece.id)
    }
  }
})
