import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { openWorld } from '#agent/io/restore-world.ts'
import { fail } from '#shared/errors.ts'
import { eventsOf, runOpen, withoutThreads } from '../support/run-open.ts'
import { snapshot } from '../support/same-tree.ts'
import { seeded } from '../support/seeded.ts'
import {
  directory,
  file,
  META,
  symlink,
  type VaultPlace,
  vaultPlace,
} from '../support/vault-place.ts'
import type { TestEntry } from '../support/vault-tree.ts'

const ROOT = userInfo().uid === 0

let place: VaultPlace
afterEach(() => {
  place.remove()
})

/** Objects that the writer wrote but the bucket no longer has as they were. */
const damage = (key: string): void => {
  const bytes = Uint8Array.from(place.writer.objects.get(key) ?? [])
  bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1
  place.writer.objects.set(key, bytes)
}

const many = (chance = seeded('many')): readonly TestEntry[] => [
  directory('/d', 0o750),
  directory('/d/empty', 0o700),
  ...Array.from({ length: 300 }, (_, i) =>
    file(`/d/f${i}`, chance.bytes(chance.below(9000)), { mode: i % 2 === 0 ? 0o600 : 0o644 }),
  ),
  file('/d/large', chance.bytes(400_000)),
  file('/d/nothing', ''),
  file('/d/sparse', chance.bytes(5000), {
    size: 1_005_000,
    holes: [
      [0, 300_000],
      [302_500, 700_000],
    ],
  }),
  ...['one', 'two', 'three'].map((name) => file(`/d/${name}`, 'same', { hardlink: 'g1' })),
  symlink('/d/link', '../elsewhere'),
  { dir: '/d', name: 'fifo', entry: { ...META, type: 'fifo' } },
  { dir: '/d', name: 'socket', entry: { ...META, type: 'socket', skipped: 'socket' } },
  { dir: '/d', name: 'denied', entry: { ...META, type: 'file', size: 10, skipped: 'unreadable' } },
]

const SMALL = {
  chunk: 4000,
  entriesPerSegment: 20,
  itemsPerFence: 4,
  listAbove: 8,
  locatorsPerList: 3,
  stride: 200,
  packTarget: 100_000,
}

describe('restoring', () => {
  test('everything comes back: content, holes, modes, times, links, through threads', async () => {
    place = vaultPlace('all', SMALL)
    const entries = many()
    place.writer.backup(entries)
    place.writer.writeTo(place.bucket)
    const args = [place.bucket, '-i', join(place.folder, 'identity'), '--json']
    const run = await runOpen([...args, 'restore', place.target], { world: openWorld() })
    expect(run.exit).toBe(0)
    const facts = snapshot(place.target)
    for (const { dir, name, data, entry } of entries) {
      if (entry.skipped !== undefined) continue
      const fact = facts.get(`${dir === '/' ? '' : dir}/${name}`)
      expect(fact?.['mtime_us']).toBe('1700000000123456')
      if (entry.type !== 'symlink') expect(fact?.['mode']).toBe(entry.mode.toString(8))
      if (data !== undefined && entry.holes === undefined) {
        expect(Buffer.compare(readFileSync(join(place.target, dir, name)), data)).toBe(0)
      }
    }
    expect(facts.get('/d/one')?.['links']).toBe('3')
    expect(facts.get('/d/sparse')?.['size']).toBe('1005000')
    const sparse = readFileSync(join(place.target, 'd/sparse'))
    expect(sparse.subarray(0, 300_000).every((byte) => byte === 0)).toBe(true)
    expect(eventsOf(run, 'skipped').map((line) => line['path'])).toEqual(['/d/denied', '/d/socket'])
    expect(facts.size).toBe(entries.length - 2)
  })

  test('only the paths asked for come back, with the folders on the way', async () => {
    place = vaultPlace('paths', SMALL)
    place.writer.backup([
      directory('/a', 0o711),
      directory('/a/b', 0o755),
      file('/a/b/wanted', 'w'),
      file('/a/b/other', 'o'),
      directory('/a/c'),
      directory('/a/c/deep'),
      file('/a/c/deep/x', 'x'),
      file('/z', 'z'),
    ])
    const run = await place.open('restore', place.target, '/a/b/wanted', '/a/c', '/a/c/deep', '/no')
    expect([...snapshot(place.target).keys()].sort()).toEqual([
      '/a',
      '/a/b',
      '/a/b/wanted',
      '/a/c',
      '/a/c/deep',
      '/a/c/deep/x',
    ])
    expect(snapshot(place.target).get('/a')?.['mode']).toBe('711')
    expect(run.exit).toBe(3)
    expect(eventsOf(run, 'absent')).toEqual([{ event: 'absent', path: '/no' }])
  })

  test('a path that is not in the backup is "not found", and nothing is restored', async () => {
    place = vaultPlace('absent')
    place.writer.backup([file('/f', 'x')])
    expect((await place.open('restore', place.target, '/g')).exit).toBe(5)
    expect(readdirSync(place.target)).toEqual([])
  })

  test('a target that holds something is refused and left as it is', async () => {
    place = vaultPlace('full')
    place.writer.backup([file('/f', 'x')])
    mkdirSync(place.target)
    writeFileSync(join(place.target, 'mine'), 'mine')
    const run = await place.open('restore', place.target)
    expect(run.exit).toBe(1)
    expect(run.lines.at(-1)).toMatchObject({ event: 'error', code: 'TARGET_UNSAFE' })
    expect(readdirSync(place.target)).toEqual(['mine'])
  })

  test('a target that is a file is refused', async () => {
    place = vaultPlace('file')
    place.writer.backup([file('/f', 'x')])
    writeFileSync(place.target, 'mine')
    expect((await place.open('restore', place.target)).exit).toBe(1)
    expect(readFileSync(place.target, 'utf8')).toBe('mine')
  })

  test.skipIf(ROOT)(
    'who is not root gets directories that nothing can be written into (needs another user)',
    async () => {
      place = vaultPlace('closed')
      place.writer.backup([
        directory('/a', 0o500),
        directory('/a/b', 0o000),
        directory('/a/b/c', 0o100),
        file('/a/b/c/f', 'x'),
        file('/s', 'x', { mode: 0o4755 }),
      ])
      const run = await place.open('restore', place.target)
      expect(run.exit).toBe(0)
      expect(eventsOf(run, 'restored')).toMatchObject([{ files: 2, owners_not_set: 5 }])
      const modes = ['a', 'a/b', 'a/b/c', 's'].map((path) => {
        const { mode } = lstatSync(join(place.target, path))
        if (path !== 's') chmodSync(join(place.target, path), 0o700)
        return (mode & 0o7777).toString(8)
      })
      expect(modes).toEqual(['500', '0', '100', '755'])
    },
  )

  test('all backups come back side by side', async () => {
    place = vaultPlace('side')
    const first = place.writer.backup([file('/f', 'one')])
    const second = place.writer.backup([file('/f', 'two')])
    expect((await place.open('--backup', 'all', 'restore', place.target)).exit).toBe(0)
    expect(readFileSync(join(place.target, first.backup, 'f'), 'utf8')).toBe('one')
    expect(readFileSync(join(place.target, second.backup, 'f'), 'utf8')).toBe('two')
  })

  test('stopping leaves no half files and says that it was interrupted', async () => {
    place = vaultPlace('stop', SMALL)
    place.writer.backup(many())
    place.writer.writeTo(place.bucket)
    const stop = new AbortController()
    const world = withoutThreads()
    let jobs = 0
    const run = await runOpen(
      [place.bucket, '-i', join(place.folder, 'identity'), 'restore', place.target],
      {
        stop: stop.signal,
        world: {
          ...world,
          extractors: (idKey, far) => {
            const real = world.extractors(idKey, far)
            return {
              ...real,
              run: async (job) => {
                jobs += 1
                if (jobs === 2) stop.abort(new Error('Ctrl-C'))
                return real.run(job)
              },
            }
          },
        },
      },
    )
    expect(run.exit).toBe(130)
    const left = existsSync(place.target) ? [...snapshot(place.target).keys()] : []
    expect(left.filter((path) => path.includes('.holdfast'))).toEqual([])
  })
})

describe('what goes wrong on the way', () => {
  test('a read that fails once is no damage', async () => {
    place = vaultPlace('once', SMALL)
    place.writer.backup(many())
    place.writer.writeTo(place.bucket)
    const world = withoutThreads()
    const seen = new Set<string>()
    const run = await runOpen(
      [place.bucket, '-i', join(place.folder, 'identity'), '--json', 'restore', place.target],
      {
        world: {
          ...world,
          folder: async (path) => {
            const source = await world.folder(path)
            return {
              ...source,
              read: async (key, start, end) => {
                const bytes = Uint8Array.from(await source.read(key, start, end))
                if (seen.has(key)) return bytes
                seen.add(key)
                // Once it ends early, once a bit is wrong.
                if (seen.size % 2 === 0)
                  throw fail('DAMAGED', { what: key, problem: 'it ends early' })
                bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 4
                return bytes
              },
            }
          },
        },
      },
    )
    expect(run.lines.filter(({ event }) => event === 'damaged' || event === 'lost')).toEqual([])
    expect(run.exit).toBe(0)
    expect(seen.size).toBeGreaterThan(8)
  })

  test('ls names the part of the tree that is lost, and shows the rest', async () => {
    place = vaultPlace('lost', { entriesPerSegment: 3, packTarget: 1 })
    place.writer.backup(
      ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) => file(`/${name}`, name)),
    )
    const trees = [...place.writer.store.placed.values()].filter(({ kind }) => kind === 'tree')
    damage(trees[1]?.key ?? '')
    const bytes = place.writer.objects.get(trees[1]?.key ?? '') ?? new Uint8Array()
    bytes[400] = (bytes[400] ?? 0) ^ 1
    const run = await place.open('ls')
    expect(run.exit).toBe(7)
    expect(eventsOf(run, 'lost')).toMatchObject([{ from: '/d', to: '/g', code: 'DAMAGED' }])
    expect(eventsOf(run, 'entry').map((line) => line['path'])).toEqual([
      '/a',
      '/b',
      '/c',
      '/g',
      '/h',
    ])
  })

  test('names that could change a terminal are shown, not obeyed', async () => {
    place = vaultPlace('terminal')
    place.writer.backup([file('/\x1b[2Jx', 'x'), file('/\xff', 'x'), file('/\xe2\x80\xae', 'x')])
    place.writer.writeTo(place.bucket)
    const { out } = await runOpen([place.bucket, '-i', join(place.folder, 'identity'), 'ls'])
    expect(out).toContain('/\\x1b[2Jx')
    expect(out).toContain('/\\xff')
    expect(out).toContain('/\\u{202e}')
    expect(out).not.toContain('\x1b')
  })

  test('a link in place of a folder of the bucket leads to the same objects', async () => {
    place = vaultPlace('moved')
    place.writer.backup([file('/f', 'x')])
    place.writer.writeTo(place.bucket)
    symlinkSync(place.bucket, join(place.folder, 'alias'))
    expect(
      (await runOpen([join(place.folder, 'alias'), '-i', join(place.folder, 'identity'), 'ls']))
        .exit,
    ).toBe(0)
  })
})
