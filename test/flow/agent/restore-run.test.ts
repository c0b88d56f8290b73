import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Reports } from '#shared/protocol/reports.ts'
import { snapshot } from '../../support/same-tree.ts'
import { seeded } from '../../support/seeded.ts'
import { ask, failureOf, type RestorePlane } from '../../support/restore-plane.ts'
import { restoreScene } from '../../support/restore-scene.ts'
import { directory, file, META, symlink, type VaultPlace } from '../../support/vault-place.ts'
import type { TestEntry } from '../../support/vault-tree.ts'
import type { WrittenBackup } from '../../support/vault-writer.ts'

let place: VaultPlace
let plane: RestorePlane
let backup: WrittenBackup
afterEach(async () => {
  expect(place.outsideChanges()).toEqual([])
  await plane.close()
  place.remove()
})

const begin = async (entries: readonly TestEntry[]): Promise<void> => {
  ;({ place, plane, backup } = await restoreScene(entries))
}

const chance = seeded('content')
const TREE: readonly TestEntry[] = [
  directory('/data', 0o711),
  directory('/data/a', 0o750),
  ...Array.from({ length: 40 }, (_, i) =>
    file(`/data/a/f${String(i)}`, chance.bytes(chance.below(9000)), { mode: 0o640 }),
  ),
  directory('/data/b', 0o755),
  file('/data/b/large', chance.bytes(90_000)),
  file('/data/b/empty', ''),
  file('/data/b/sparse', chance.bytes(3000), { size: 103_000, holes: [[1000, 100_000]] }),
  file('/data/b/one', 'same', { hardlink: 'g' }),
  file('/data/b/two', 'same', { hardlink: 'g' }),
  symlink('/data/b/link', '../a'),
  { dir: '/data/b', name: 'fifo', entry: { ...META, type: 'fifo' } },
  { dir: '/data/b', name: 'socket', entry: { ...META, type: 'socket' } },
]

const paths = (): string[] => [...snapshot(place.target).keys()].sort()

describe('a restore into a folder', () => {
  test('brings everything back, with what was wanted in all and what was fetched', async () => {
    await begin(TREE)
    const tally = await plane.run(plane.order(backup, { target: place.target }))
    const facts = snapshot(place.target)
    expect(facts.size).toBe(TREE.length - 1)
    expect(facts.get('/data')?.['mode']).toBe('711')
    expect(facts.get('/data/b')?.['mtime_us']).toBe('1700000000123456')
    expect(facts.get('/data/b/two')?.['linked']).toBe('/data/b/one')
    for (const { dir, name, data, entry } of TREE)
      if (data !== undefined && entry.holes === undefined)
        expect(Buffer.compare(readFileSync(join(place.target, dir, name)), data)).toBe(0)
    expect(tally).toMatchObject({
      counts: { files: 44, directories: 3, others: 2, links: 1, skipped: 1, failed: 0 },
      filesTotal: 77,
      bytesTotal: 7777,
    })
    const { length } = plane.gets.filter(({ key }) => key.includes('/packs/'))
    expect(length).toBeGreaterThan(0)
    expect(tally.bytesFetched).toBe(plane.gets.reduce((sum, { bytes }) => sum + bytes, 0))
    expect(plane.notes()).toMatchObject([{ path: '/data/b/socket', outcome: 'skipped' }])
    expect(plane.lines().join('\n')).toMatch(/Restoring "a backup".*\n.*Restored 44 files/s)
  })

  test('brings back what was chosen: files, folders, globs, and the folders on the way', async () => {
    await begin(TREE)
    const wanted = ask('/data/a/f1', '/data/b', '/data/a/f3?', '/data/**/f2', '/data/none', '/x/*')
    const tally = await plane.run(plane.order(backup, { target: place.target }, wanted))
    expect(paths()).toEqual(
      [
        '/data',
        '/data/a',
        ...['1', '2', ...Array.from({ length: 10 }, (_, i) => `3${String(i)}`)].map(
          (n) => `/data/a/f${n}`,
        ),
        ...['', '/empty', '/fifo', '/large', '/link', '/one', '/sparse', '/two'].map(
          (name) => `/data/b${name}`,
        ),
      ].sort(),
    )
    const facts = snapshot(place.target)
    expect(facts.get('/data')).toMatchObject({ mode: '711', mtime_us: '1700000000123456' })
    expect(facts.get('/data/a')).toMatchObject({ mode: '750', mtime_us: '1700000000123456' })
    expect(tally).toMatchObject({ counts: { files: 16, absent: 2 }, filesTotal: 17 })
    expect(plane.notes().filter(({ outcome }) => outcome === 'failed')).toMatchObject([
      { path: '/data/none', code: 'RESOURCE_NOT_FOUND' },
      { path: '/x/*', code: 'RESOURCE_NOT_FOUND' },
    ])
  })

  test('asks for many packs in one request, and fetches of a choice little more than it needs', async () => {
    await begin(TREE)
    const tally = await plane.run(
      plane.order(backup, { target: place.target }, ask('/data/a/f7', '/data/b/large')),
    )
    expect(tally.counts.files).toBe(2)
    const requests = plane.asked.filter(({ type }) => type === 'packs.request')
    const packs = requests.flatMap(({ body }) => (body as Reports['packs.request']).packs)
    expect(requests.length).toBeLessThan(packs.length)
    expect(new Set(packs).size).toBe(packs.length)
    const all = place.writer.objects.values().reduce((sum, { length }) => sum + length, 0)
    expect(tally.bytesFetched).toBeLessThan(all)
  })

  test('works through threads of its own as well', async () => {
    await begin(TREE)
    const { restoreWorld } = await import('#agent/io/restore-world.ts')
    const { extractors } = restoreWorld(2)
    const tally = await plane.run(plane.order(backup, { target: place.target }), { extractors })
    expect(tally.counts).toMatchObject({ files: 44, failed: 0, damaged: 0, lost: 0 })
    expect(paths()).toHaveLength(TREE.length - 1)
    expect(tally.bytesFetched).toBe(plane.gets.reduce((sum, { bytes }) => sum + bytes, 0))
  })
})

describe('what is there already', () => {
  const fill = (): void => {
    mkdirSync(join(place.target, 'data/b'), { recursive: true })
    writeFileSync(join(place.target, 'data/b/one'), 'mine')
    writeFileSync(join(place.target, 'data/b/mine'), 'mine')
    symlinkSync(join(place.outside, 'victim'), join(place.target, 'data/b/large'))
  }
  const text = (path: string): string => readFileSync(join(place.target, path), 'utf8')

  test('is replaced with `overwrite`, and what the backup does not have stays', async () => {
    await begin(TREE)
    fill()
    const order = plane.order(backup, { target: place.target, conflict: 'overwrite' })
    const tally = await plane.run(order)
    expect(tally.counts).toMatchObject({ files: 44, links: 1, skipped: 1, failed: 0 })
    expect(text('data/b/one')).toBe('same')
    expect(text('data/b/mine')).toBe('mine')
    expect(lstatSync(join(place.target, 'data/b/large')).isFile()).toBe(true)
    expect(lstatSync(join(place.target, 'data/b/two')).ino).toBe(
      lstatSync(join(place.target, 'data/b/one')).ino,
    )
    expect(paths().filter((path) => path.includes('.holdfast'))).toEqual([])
    // Once more onto all of it.
    expect((await plane.run(order)).counts).toMatchObject({ files: 44, links: 1, failed: 0 })
  })

  test('stays with `skip`, and is neither fetched nor linked to', async () => {
    await begin(TREE)
    fill()
    const order = plane.order(backup, { target: place.target, conflict: 'skip' })
    const tally = await plane.run(order)
    expect(tally.counts).toMatchObject({ files: 43, links: 0, skipped: 3, failed: 0 })
    expect(text('data/b/one')).toBe('mine')
    expect(text('data/b/two')).toBe('same')
    const skipped = plane.notes().filter(({ code }) => code === 'CONFLICT')
    expect(skipped.map(({ path }) => path).sort()).toEqual(['/data/b/large', '/data/b/one'])
  })

  test('makes a restore fail with `refuse` before anything is written', async () => {
    await begin(TREE)
    fill()
    const before = snapshot(place.target)
    const order = plane.order(backup, { target: place.target, conflict: 'refuse' })
    await expect(plane.run(order)).rejects.toMatchObject({
      code: 'CONFLICT',
      details: {
        count: 2,
        problem: expect.stringMatching(/2 of the names.*\/data\/b\/large, /) as unknown,
      },
    })
    expect(snapshot(place.target)).toEqual(before)
    const choice = plane.order(backup, { target: place.target }, ask('/data/b/empty', '/data/a'))
    expect((await plane.run(choice)).counts.files).toBe(41)
  })

  test('as a directory in place of a file, or the reverse, fails by name', async () => {
    await begin(TREE)
    mkdirSync(join(place.target, 'data/b/one/deep'), { recursive: true })
    writeFileSync(join(place.target, 'data/a'), 'a file')
    for (const conflict of ['overwrite', 'skip'] as const) {
      const order = plane.order(backup, { target: place.target, conflict })
      const { counts } = await plane.run(order)
      // The file, the folder and all in it.
      expect(counts.failed).toBe(42)
    }
    const order = plane.order(backup, { target: place.target, conflict: 'refuse' })
    expect(await failureOf(plane.run(order))).toBe('CONFLICT')
    expect(text('data/a')).toBe('a file')
    expect(readdirSync(join(place.target, 'data/b/one'))).toEqual(['deep'])
    expect(plane.notes().find(({ path }) => path === '/data/b/one')).toMatchObject({
      code: 'TARGET_UNSAFE',
      problem: expect.stringContaining('a directory in its place') as unknown,
    })
  })
})

describe('directories on the way', () => {
  test('keep mode and time where they were there, and get those of the backup where they were not', async () => {
    await begin(TREE)
    mkdirSync(join(place.target, 'data'), { recursive: true })
    chmodSync(join(place.target, 'data'), 0o700)
    utimesSync(join(place.target, 'data'), 1000, 2000)
    const order = plane.order(backup, { target: place.target }, ask('/data/a/f1'))
    await plane.run(order)
    const facts = snapshot(place.target)
    expect(facts.get('/data')).toMatchObject({ mode: '700', mtime_us: '2000000000' })
    expect(facts.get('/data/a')).toMatchObject({ mode: '750', mtime_us: '1700000000123456' })
  })

  test('that were chosen themselves get what they had', async () => {
    await begin(TREE)
    mkdirSync(join(place.target, 'data/a'), { recursive: true, mode: 0o700 })
    await plane.run(plane.order(backup, { target: place.target }, ask('/data/a')))
    expect(snapshot(place.target).get('/data/a')).toMatchObject({
      mode: '750',
      mtime_us: '1700000000123456',
    })
  })
})

describe('the backup itself', () => {
  test('holds no content for a file: that counts as failed, and the rest comes back', async () => {
    await begin([
      directory('/d'),
      { dir: '/d', name: 'lost', entry: { ...META, type: 'file', size: 9, skipped: 'unreadable' } },
      file('/d/f', 'x'),
    ])
    const { counts } = await plane.run(plane.order(backup, { target: place.target }))
    expect(counts).toMatchObject({ files: 1, failed: 1, skipped: 0 })
    expect(plane.notes()).toMatchObject([{ path: '/d/lost', code: 'SOURCE_UNREADABLE' }])
  })

  test('has damaged content: exactly the files in it fail', async () => {
    await begin(TREE)
    const packs = [...place.writer.store.placed.values()].filter(({ kind }) => kind === 'pack')
    const { key, preamble } = packs[0]!
    const bytes = Uint8Array.from(place.writer.objects.get(key)!)
    bytes[preamble + 10] = (bytes[preamble + 10] ?? 0) ^ 1
    place.writer.objects.set(key, bytes)
    const { counts } = await plane.run(plane.order(backup, { target: place.target }))
    expect(counts.damaged).toBeGreaterThan(0)
    expect(counts.files + counts.damaged).toBe(44)
    expect(plane.notes().filter(({ code }) => code === 'DAMAGED')).toHaveLength(counts.damaged)
  })
})
