import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  advance,
  createBlockWriter,
  createCursor,
  type Cursor,
  cursorOf,
  follows,
  hasContentAt,
  isDirectoryAt,
  isFileAt,
  isUnchanged,
  isWholeBlock,
  lineAt,
  storedLineAt,
  listedUsesAt,
  type LocalBlock,
  type LocalEntry,
  type Run,
} from '#agent/core/local-tree.ts'

const entry = (changes: Partial<LocalEntry> = {}): LocalEntry => ({
  dir: '/a',
  name: 'b',
  line: '{"n":"b"}',
  signature: { size: 1, mtimeMs: 2.5, ctimeMs: 3, dev: 4, ino: 5 },
  kind: 'file',
  hasContent: true,
  uses: [],
  ...changes,
})

const blockOf = (entries: readonly LocalEntry[]): LocalBlock => {
  const writer = createBlockWriter()
  for (const one of entries) writer.append(one)
  return { raw: Buffer.from(writer.take()), packed: new Uint8Array() }
}

const cursorOver = (...blocks: LocalBlock[]): ReturnType<typeof createCursor> => {
  const left = [...blocks]
  return createCursor(() => left.shift() ?? null)
}

/** The cursor, standing on one entry after the other. */
function* stops(cursor: Cursor): Generator<Cursor, void, void> {
  advance(cursor)
  while (cursor.valid) {
    yield cursor
    advance(cursor)
  }
}

const readAll = (...blocks: LocalBlock[]): LocalEntry[] => {
  const cursor = cursorOver(...blocks)
  const entries: LocalEntry[] = []
  for (const at of stops(cursor)) {
    const { raw, from, to } = storedLineAt(at)
    expect(raw.toString('utf8', from, to)).toBe(lineAt(at))
    entries.push(
      entry({
        dir: at.dir,
        name: at.name,
        line: lineAt(at),
        kind: isFileAt(at) ? 'file' : isDirectoryAt(at) ? 'directory' : 'other',
        hasContent: hasContentAt(at),
        uses: listedUsesAt(at),
      }),
    )
  }
  return entries
}

const someEntry = fc.record({
  dir: fc.constantFrom('/', '/a', '/a/\xff', '/b'),
  name: fc.string({
    minLength: 1,
    maxLength: 20,
    unit: fc.integer({ min: 1, max: 255 }).map((n) => String.fromCharCode(n)),
  }),
  line: fc.oneof(fc.string({ maxLength: 50 }), fc.constant('umlaut ü €')),
  kind: fc.constantFrom('file' as const, 'directory' as const, 'other' as const),
  hasContent: fc.boolean(),
  uses: fc.array(fc.tuple(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), fc.nat()), {
    maxLength: 3,
  }),
})

describe('a local tree', () => {
  test('gives back what was written, whatever blocks it is cut into', () => {
    fc.assert(
      fc.property(fc.array(fc.array(someEntry, { maxLength: 8 }), { maxLength: 5 }), (parts) => {
        const entries = parts.map((part) => part.map((one) => entry(one)))
        expect(readAll(...entries.map(blockOf))).toEqual(entries.flat())
      }),
    )
  })

  test('copies runs of records so that they read like the originals', () => {
    fc.assert(
      fc.property(
        fc.array(someEntry, { minLength: 1, maxLength: 12 }),
        fc.nat(11),
        fc.nat(11),
        (some, a, b) => {
          const entries = some.map((one) => entry(one))
          const [first, last] = [
            Math.min(a, b) % entries.length,
            Math.max(a, b) % entries.length,
          ].sort((x, y) => x - y)
          const block = blockOf(entries)
          const cursor = cursorOver(block)
          let run: { -readonly [K in keyof Run]: Run[K] } | null = null
          let index = 0
          for (const at of stops(cursor)) {
            index += 1
            if (index <= (first ?? 0) || index > (last ?? 0) + 1) continue
            if (run === null) run = { block, from: at.from, to: at.to, dir: at.dir, endDir: at.dir }
            else {
              expect(follows(cursor, run)).toBe(true)
              run.to = cursor.to
              run.endDir = cursor.dir
            }
          }
          if (run === null) throw new Error('a run has entries')
          const writer = createBlockWriter()
          writer.copy(run)
          const copied = { raw: Buffer.from(writer.take()), packed: new Uint8Array() }
          const wanted = entries.slice(first, (last ?? 0) + 1)
          expect(readAll(copied)).toEqual(wanted)
          const inner = cursorOf(run)
          const names: string[] = []
          for (const at of stops(inner)) names.push(`${at.dir} ${at.name}`)
          expect(names).toEqual(wanted.map(({ dir, name }) => `${dir} ${name}`))
        },
      ),
    )
  })

  test('knows a settled entry again by size, both times, device and inode together', () => {
    const signature = { size: 1, mtimeMs: 2.5, ctimeMs: 3, dev: 4, ino: 2 ** 60 }
    const cursor = cursorOver(blockOf([entry({ signature })]))
    advance(cursor)
    expect(isUnchanged(cursor, signature)).toBe(true)
    for (const field of ['size', 'mtimeMs', 'ctimeMs', 'dev', 'ino'] as const) {
      expect(isUnchanged(cursor, { ...signature, [field]: signature[field] + 512 })).toBe(false)
    }
  })

  test('never takes an unsettled entry for unchanged', () => {
    const cursor = cursorOver(blockOf([entry({ signature: null })]))
    advance(cursor)
    expect(isUnchanged(cursor, { size: 0, mtimeMs: 0, ctimeMs: 0, dev: 0, ino: 0 })).toBe(false)
  })

  test('tells a run that is a whole block from a part of one', () => {
    const block = blockOf([entry({ name: 'b' }), entry({ name: 'c' })])
    const run = { block, from: 0, to: block.raw.length, dir: '/a', endDir: '/a' }
    expect(isWholeBlock(run)).toBe(true)
    expect(isWholeBlock({ ...run, to: run.to - 1 })).toBe(false)
  })
})
