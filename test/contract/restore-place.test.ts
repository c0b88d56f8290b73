import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PlaceAsk, RestoreTarget } from '#agent/core/restore-ports.ts'
import { createExtract } from '#agent/io/restore-extract.ts'
import { openPlace, realPlace } from '#agent/io/restore-place.ts'
import { fail } from '#shared/errors.ts'

const ATTRIBUTES = { mode: 0o640, owner: null, mtime: 1_700_000_000_123_456_789n, xattrs: [] }
const NOT_ON_THE_WAY = null
const linux = process.platform === 'linux'

let folder: string
let outside: string
let path: string
let target: RestoreTarget | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-place-'))
  outside = join(folder, 'outside')
  path = join(folder, 'target')
  mkdirSync(outside)
  mkdirSync(path)
  writeFileSync(join(outside, 'victim'), 'as it was')
})
afterEach(() => {
  target?.close()
  target = undefined
  expect(readdirSync(outside)).toEqual(['victim'])
  expect(readFileSync(join(outside, 'victim'), 'utf8')).toBe('as it was')
  rmSync(folder, { recursive: true })
})

const open = (over: Partial<PlaceAsk> = {}): RestoreTarget => {
  target = openPlace({
    folder: path,
    tag: 'tag',
    replace: true,
    leftovers: [],
    allowed: () => undefined,
    ...over,
  })
  return target
}

const write = (place: RestoreTarget, dir: string, name: string, text = 'new'): void => {
  const file = place.file(dir, name, text.length)
  writeSync(file.fd, text)
  file.keep(ATTRIBUTES)
}

const text = (name: string): string => readFileSync(join(path, name), 'utf8')

describe('where things are already', () => {
  test('a file is replaced in one step, and what had its name goes', () => {
    writeFileSync(join(path, 'f'), 'old')
    linkSync(join(path, 'f'), join(path, 'other name'))
    write(open(), '/', 'f')
    expect(text('f')).toBe('new')
    expect(text('other name')).toBe('old')
    expect(readdirSync(path).sort()).toEqual(['f', 'other name'])
  })

  test('a link is replaced, and what it leads to stays', () => {
    symlinkSync(join(outside, 'victim'), join(path, 'f'))
    write(open(), '/', 'f')
    expect(lstatSync(join(path, 'f')).isFile()).toBe(true)
  })

  test.each(['file', 'link', 'node'] as const)('a directory is not replaced by a %s', (kind) => {
    mkdirSync(join(path, 'd/full'), { recursive: true })
    const place = open()
    write(place, '/', 'f')
    const act = {
      file: () => write(place, '/', 'd'),
      link: () => place.link({ dir: '/', name: 'f' }, '/', 'd'),
      node: () => place.node('/', 'd', { type: 'symlink', target: 'x', ...ATTRIBUTES }),
    }
    expect(act[kind]).toThrow(/directory in its place/)
    expect(readdirSync(path).sort()).toEqual(['d', 'f'])
  })

  test('links, fifos and further names replace what is there', () => {
    for (const name of ['l', 'p', 'n', 'm']) writeFileSync(join(path, name), 'old')
    const place = open()
    write(place, '/', 'f')
    place.node('/', 'l', { type: 'symlink', target: 'there', ...ATTRIBUTES })
    place.node('/', 'p', { type: 'fifo', ...ATTRIBUTES })
    place.link({ dir: '/', name: 'f' }, '/', 'n')
    // Twice: a rename between two names of one file does nothing.
    place.link({ dir: '/', name: 'f' }, '/', 'n')
    expect(readlinkSync(join(path, 'l'))).toBe('there')
    expect(lstatSync(join(path, 'p')).isFIFO()).toBe(true)
    expect(lstatSync(join(path, 'n')).ino).toBe(lstatSync(join(path, 'f')).ino)
    expect(readdirSync(path).sort()).toEqual(['f', 'l', 'm', 'n', 'p'])
  })

  test('nothing is replaced where that was not asked for, whoever writes', async () => {
    for (const name of ['f', 'l', 'n', 't']) writeFileSync(join(path, name), 'old')
    const place = open({ replace: false })
    write(place, '/', 'free')
    expect(() => write(place, '/', 'f')).toThrow(/something of this name/)
    const node = { type: 'symlink', target: 'x', ...ATTRIBUTES } as const
    expect(() => place.node('/', 'l', node)).toThrow(/something of this name/)
    expect(() => place.link({ dir: '/', name: 'free' }, '/', 'n')).toThrow(/something of this name/)
    const held = place.directory('/', NOT_ON_THE_WAY)
    const whole = { ...ATTRIBUTES, directory: held.ref, name: 't' }
    const run = createExtract(new Uint8Array(32), 'tag-0')
    const { files } = await run({ object: null, files: [whole], frames: [] })
    held.done()
    expect(files).toMatchObject([{ code: 'TARGET_UNSAFE' }])
    expect(readdirSync(path).sort()).toEqual(['f', 'free', 'l', 'n', 't'])
    expect(['f', 'l', 'n', 't'].map(text)).toEqual(['old', 'old', 'old', 'old'])
  })

  test('a directory is used, whatever it holds', () => {
    mkdirSync(join(path, 'd'))
    writeFileSync(join(path, 'd/mine'), 'mine')
    const place = open()
    place.makeDirectory('/', 'd')
    write(place, '/d', 'f')
    place.finishDirectory('/d', { ...ATTRIBUTES, mode: 0o750 })
    expect(readdirSync(join(path, 'd')).sort()).toEqual(['f', 'mine'])
    expect(lstatSync(join(path, 'd')).mode & 0o777).toBe(0o750)
  })

  test('what a name is taken by can be seen, links not followed', () => {
    mkdirSync(join(path, 'd'))
    writeFileSync(join(path, 'f'), '')
    symlinkSync('d', join(path, 'l'))
    const place = open()
    const held = place.existing('/')
    expect(['d', 'f', 'l', 'n'].map((name) => held?.look(name))).toEqual([
      'directory',
      'other',
      'other',
      'nothing',
    ])
    held?.done()
    expect(place.existing('/n/m')).toBe(null)
    expect(() => place.existing('/l')).toThrow(/symbolic link/)
    expect(() => place.existing('/f/x')).toThrow(/not a directory/)
    expect(existsSync(join(path, 'n'))).toBe(false)
  })
})

describe('a place that somebody else changes', () => {
  test('a link to a folder is not entered, wherever it stands', () => {
    symlinkSync(outside, join(path, 'l'))
    mkdirSync(join(path, 'd'))
    symlinkSync(outside, join(path, 'd/l'))
    const place = open()
    for (const dir of ['/l', '/d/l', '/l/deeper']) {
      expect(() => place.directory(dir, () => undefined)).toThrow(/symbolic link/)
      expect(() => write(place, dir, 'victim')).toThrow(/symbolic link/)
      expect(() => place.finishDirectory(dir, ATTRIBUTES)).toThrow(/symbolic link/)
      expect(() => place.resetTime(dir, 0n)).toThrow(/symbolic link/)
    }
    expect(() => place.makeDirectory('/', 'l')).toThrow(/symbolic link/)
  })

  test.skipIf(!linux)('a folder swapped for a link in the middle leads nowhere else', async () => {
    mkdirSync(join(path, 'd'))
    const place = open()
    const held = place.directory('/d', () => undefined)
    const file = place.file('/d', 'victim', 3)
    renameSync(join(path, 'd'), join(path, 'aside'))
    symlinkSync(outside, join(path, 'd'))
    writeSync(file.fd, 'new')
    file.keep(ATTRIBUTES)
    const whole = { ...ATTRIBUTES, directory: held.ref, name: 'whole' }
    const run = createExtract(new Uint8Array(32), 'tag-0')
    await run({ object: null, files: [whole], frames: [] })
    held.done()
    expect(readdirSync(join(path, 'aside')).sort()).toEqual(['victim', 'whole'])
    expect(() => place.directory('/d/new', () => undefined)).not.toThrow()
    expect(readdirSync(join(path, 'aside'))).toContain('new')
  })

  test('the folder itself must be where it may be restored to, links followed', () => {
    symlinkSync(outside, join(folder, 'alias'))
    const asked: string[] = []
    const allowed = (real: string): void => {
      asked.push(real)
      if (real.startsWith(realPlace(outside)))
        throw fail('TARGET_UNSAFE', { path: real, problem: 'it is somewhere else' })
    }
    expect(() => open({ folder: join(folder, 'alias/new'), allowed })).toThrow(/somewhere else/)
    open({ allowed })
    expect(asked).toEqual([join(realPlace(outside), 'new'), realPlace(path), realPlace(path)])
  })
})

describe('on the way', () => {
  test('it is said what is made, and what time that had which is written into', () => {
    mkdirSync(join(path, 'a/b'), { recursive: true })
    for (const name of ['a', 'a/b']) utimesSync(join(path, name), 1000, 2000)
    const place = open()
    const noted: [string, bigint | null][] = []
    const note = (dir: string, mtime: bigint | null): void => void noted.push([dir, mtime])
    place.directory('/a/b', note).done()
    place.directory('/a/b/c/d', note).done()
    const old = 2_000_000_000_000n
    expect(noted.slice(0, 3)).toEqual([
      ['/a/b', old],
      ['/a/b', old],
      ['/a/b/c', null],
    ])
    expect(noted.filter(([, mtime]) => mtime === null)).toEqual([
      ['/a/b/c', null],
      ['/a/b/c/d', null],
    ])
    expect(lstatSync(join(path, 'a/b/c')).mode & 0o777).toBe(0o700)
    expect(lstatSync(join(path, 'a/b')).mtimeMs).not.toBe(2_000_000)
    place.resetTime('/a/b', old)
    expect(lstatSync(join(path, 'a/b')).mtimeMs).toBe(2_000_000)
  })
})

describe('what a restore that was killed has left', () => {
  test('goes where its tag is known, and only then', () => {
    mkdirSync(join(path, 'd'))
    const names = [
      '.holdfast-dead-0-1',
      '.holdfast-dead-m2',
      '.holdfast-other-0-1',
      '.holdfast-dead',
    ]
    for (const name of names) writeFileSync(join(path, 'd', name), '')
    mkdirSync(join(path, 'd/.holdfast-dead-dir'))
    open().directory('/d', NOT_ON_THE_WAY).done()
    expect(readdirSync(join(path, 'd'))).toHaveLength(5)
    open({ leftovers: ['dead'] })
      .directory('/d', NOT_ON_THE_WAY)
      .done()
    expect(readdirSync(join(path, 'd')).sort()).toEqual([
      '.holdfast-dead',
      '.holdfast-dead-dir',
      '.holdfast-other-0-1',
    ])
  })

  test('is nothing where it was only stopped', () => {
    open().file('/', 'f', 3)
    target?.close()
    target = undefined
    expect(readdirSync(path)).toEqual([])
  })
})
