import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { encodeEntry } from '#shared/format/tree.ts'
import { eventsOf, type OpenRun } from '../support/run-open.ts'
import { snapshot } from '../support/same-tree.ts'
import type { TestEntry, TreeOptions } from '../support/vault-tree.ts'
import {
  directory,
  file,
  META,
  symlink,
  type VaultPlace,
  vaultPlace,
} from '../support/vault-place.ts'

// Signed as it should be, by an agent that means harm: nothing here is caught by a signature or a hash.

let place: VaultPlace
afterEach(() => {
  expect(place.outsideChanges()).toEqual([])
  place.remove()
})

const restore = async (entries: readonly TestEntry[], how: TreeOptions = {}): Promise<OpenRun> => {
  place.writer.backup(entries, how)
  return place.open('restore', place.target)
}

/** A line of the tree for a small file, with any name at all. */
const named = (name: string): string =>
  encodeEntry('NAME', { ...META, type: 'directory' }).replace('"NAME"', JSON.stringify(name))

const refused = (run: OpenRun): string => {
  expect([3, 7]).toContain(run.exit)
  const told = [...eventsOf(run, 'lost'), ...eventsOf(run, 'damaged'), ...eventsOf(run, 'failed')]
  expect(told.length).toBeGreaterThan(0)
  return told.map((line) => String(line['message'])).join('\n')
}

describe('a signed tree that means harm', () => {
  test.each([
    ['two dots', '..'],
    ['one dot', '.'],
    ['an absolute path', '/etc/cron.d/evil'],
    ['a path upwards', '../outside/victim'],
    ['a slash', 'a/b'],
    ['nothing', ''],
    ['a NUL byte', 'a\0b'],
  ])('a name that is %s is refused', async (_, name) => {
    place = vaultPlace('names')
    const run = await restore([directory('/zz'), directory('/a')], {
      forge: (format, lines) =>
        format === 'holdfast/tree/v1' ? [named(name), ...lines.slice(1)] : lines,
    })
    expect(refused(run)).toContain('damaged')
    expect(existsSync(place.target) ? readdirSync(place.target) : []).toEqual([])
  })

  test.each(['/../outside', '/a/../../outside', '//outside', 'outside', '/a/', '/a\0b', '/.'])(
    'a directory that is %j is refused',
    async (dir) => {
      place = vaultPlace('dirs')
      const run = await restore([directory('/a'), file('/a/f', 'x')], {
        forge: (format, lines) =>
          format === 'holdfast/tree/v1'
            ? lines.map((line) => (line.startsWith('{"dir"') ? JSON.stringify({ dir }) : line))
            : lines,
      })
      expect(refused(run)).toContain('damaged')
      expect(existsSync(place.target) ? readdirSync(place.target) : []).toEqual([])
    },
  )

  test('a file behind a symbolic link of the same tree is not written through it', async () => {
    place = vaultPlace('link')
    const run = await restore([symlink('/a', place.outside), file('/a/victim', 'overwritten')])
    expect(refused(run)).toContain('/a')
    expect(lstatSync(join(place.target, 'a')).isSymbolicLink()).toBe(true)
  })

  test('a file behind a chain of links, and a directory below one, are not made', async () => {
    place = vaultPlace('chain')
    const run = await restore([
      symlink('/a', '../outside'),
      symlink('/b', 'a'),
      file('/b/victim', 'overwritten'),
      directory('/a/new'),
      file('/a/new/f', 'x'),
    ])
    expect(refused(run)).toContain('symbolic link')
    expect(readdirSync(place.target).sort()).toEqual(['a', 'b'])
  })

  test('entries below a file are not made in its place', async () => {
    place = vaultPlace('below')
    const run = await restore([file('/a', 'a file'), file('/a/b', 'below it')])
    expect(refused(run)).toContain('is not there')
    expect(readFileSync(join(place.target, 'a'), 'utf8')).toBe('a file')
  })

  test('a hard link is a group in the tree, never a path: what it names outside is not touched', async () => {
    place = vaultPlace('hardlink')
    const group = { hardlink: '../outside/victim' }
    const run = await restore([file('/a', 'content', group), file('/b', 'content', group)])
    expect(run.exit).toBe(0)
    expect(lstatSync(join(place.target, 'a')).ino).toBe(lstatSync(join(place.target, 'b')).ino)
  })

  test('names of one hard-link group with different content are not made one file', async () => {
    place = vaultPlace('group')
    const group = { hardlink: 'g' }
    const run = await restore([file('/a', 'harmless', group), file('/b', 'something else', group)])
    expect(refused(run)).toContain('hard links')
    expect(readdirSync(place.target)).toEqual(['a'])
  })

  test.each([
    ['unsorted', ['/b', '/a']],
    ['twice there', ['/a', '/a']],
  ])('entries that are %s are refused', async (_, paths) => {
    place = vaultPlace('order')
    const run = await restore(
      paths.map((path) => directory(path)),
      { asGiven: true },
    )
    expect(refused(run)).toContain('not in order')
  })

  test('a segment that holds places of the next one is refused', async () => {
    place = vaultPlace('overlap')
    const run = await restore(
      ['/a', '/m', '/c', '/d'].map((path) => directory(path)),
      { asGiven: true, entriesPerSegment: 2 },
    )
    expect(refused(run)).toContain('reaches into the next')
  })

  test('a fence whose levels do not go down, as in a circle, is refused', async () => {
    place = vaultPlace('circle')
    let leaf = ''
    const run = await restore(
      ['/a', '/b', '/c'].map((path) => directory(path)),
      {
        entriesPerSegment: 1,
        itemsPerFence: 2,
        forge: (format, lines) => {
          if (format !== 'holdfast/fence/v1') return lines
          // The level above points to places that its children do not begin with.
          if (leaf === '') leaf = lines[0] ?? ''
          return lines.map((line) => line.replace('"n":"c"', '"n":"bb"'))
        },
      },
    )
    expect(refused(run)).toContain('does not begin where')
  })

  test.each([
    ['beyond the end of its pack', (l: readonly unknown[]) => [l[0], 2 ** 40, ...l.slice(2)]],
    [
      'of a frame longer than frames can be',
      (l: readonly unknown[]) => [l[0], l[1], 2 ** 30, ...l.slice(3)],
    ],
    ['beyond its frame', (l: readonly unknown[]) => [...l.slice(0, 3), 3 * 2 ** 20, ...l.slice(4)]],
    ['in a pack that is not in the table', (l: readonly unknown[]) => [7_000_000, ...l.slice(1)]],
    ['with a negative offset', (l: readonly unknown[]) => [l[0], -5, ...l.slice(2)]],
    ['of another blob', (l: readonly unknown[]) => [...l.slice(0, 5), 'A'.repeat(43)]],
  ])('content %s is refused, and nothing stands in its place', async (_, change) => {
    place = vaultPlace('locator')
    const bad: TestEntry = {
      ...file('/bad', 'some content'),
      line: ([locator]) =>
        encodeEntry('bad', {
          ...META,
          type: 'file',
          size: 12,
          content: locator === undefined ? [] : [locator],
        }).replace(/"c":\[(.*)\]\}/, () => `"c":[${JSON.stringify(change(locator ?? []))}]}`),
    }
    const run = await restore([bad, file('/good', 'good')])
    refused(run)
    const names = existsSync(place.target) ? readdirSync(place.target) : []
    expect(names).not.toContain('bad')
    expect(names.filter((name) => name.startsWith('.holdfast'))).toEqual([])
  })

  test('a frame that declares more than 4 MiB, or holds more than it declares, is refused', async () => {
    place = vaultPlace('bomb')
    const bomb = zstdCompressSync(Buffer.alloc(64 * 2 ** 20))
    const id = Buffer.alloc(32, 1)
    const [locator] = place.writer.store.add('pack', bomb, [{ id, offset: 0, length: 1000 }])
    if (locator === undefined) throw new Error('no locator')
    place.writer.store.close('pack')
    const entry = { ...META, type: 'file', size: 1000, content: [locator] } as const
    const bad: TestEntry = { dir: '/', name: 'bomb', entry, line: () => encodeEntry('bomb', entry) }
    // A second file brings the pack into the table.
    const run = await restore([bad, file('/good', 'good')], { alsoPacks: [locator[0]] })
    expect(refused(run)).toContain('declares')
    expect(readdirSync(place.target)).toEqual(['good'])
  })

  test('a device, a set-user-id program or a link is only what the restoring user may make', async () => {
    place = vaultPlace('nodes')
    const run = await restore([symlink('/l', '/etc/passwd'), file('/f', 'x', { mode: 0o4755 })])
    expect(run.exit).toBe(0)
    expect(snapshot(place.target).get('/l')?.['target']).toBe('/etc/passwd')
  })

  test('a key in the pack table that is not one of this vault is not read', async () => {
    place = vaultPlace('key')
    place.writer.backup([file('/f', 'x')])
    for (const [no, row] of place.writer.store.placed) {
      if (row.kind === 'pack') {
        place.writer.store.placed.set(no, { ...row, key: '../outside/victim' })
      }
    }
    const run = await restore([file('/f', 'x')])
    expect(refused(run)).toContain('no such object can be')
  })
})
