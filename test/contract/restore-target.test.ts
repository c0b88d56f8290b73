import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
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
import type { RestoreTarget } from '#agent/core/restore-ports.ts'
import { createExtract } from '#agent/io/restore-extract.ts'
import { openTarget } from '#agent/io/restore-fs.ts'
import { timeText } from '#agent/io/restore-attributes.ts'
import { hasCode } from '#shared/errors.ts'

const ATTRIBUTES = { mode: 0o640, owner: null, mtime: 1_700_000_000_123_456_789n, xattrs: [] }
const linux = process.platform === 'linux'
const root = process.geteuid?.() === 0

let folder: string
let outside: string
let path: string
let target: RestoreTarget
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-target-'))
  outside = join(folder, 'outside')
  path = join(folder, 'target')
  mkdirSync(outside)
  writeFileSync(join(outside, 'victim'), 'as it was')
  target = openTarget(path, 'tag')
})
afterEach(() => {
  target.close()
  expect(readdirSync(outside)).toEqual(['victim'])
  expect(readFileSync(join(outside, 'victim'), 'utf8')).toBe('as it was')
  rmSync(folder, { recursive: true })
})

const write = (dir: string, name: string, text = 'content'): void => {
  const open = target.file(dir, name, text.length)
  writeSync(open.fd, text)
  open.keep(ATTRIBUTES)
}

const swap = (name: string): void => {
  renameSync(join(path, name), join(path, 'aside'))
  symlinkSync(outside, join(path, name))
}

describe('a restore target', () => {
  test('gives a file its name, mode and time when it is complete, and not before', () => {
    const open = target.file('/', 'f', 7)
    writeSync(open.fd, 'content')
    expect(existsSync(join(path, 'f'))).toBe(false)
    open.keep(ATTRIBUTES)
    expect(readFileSync(join(path, 'f'), 'utf8')).toBe('content')
    expect(lstatSync(join(path, 'f')).mode & 0o7777).toBe(0o640)
    expect(readdirSync(path)).toEqual(['f'])
  })

  test('a file that is dropped, or not ended, leaves nothing', () => {
    target.file('/', 'a', 0).drop()
    target.file('/', 'b', 0)
    target.close()
    expect(readdirSync(path)).toEqual([])
    target = openTarget(path, 'again')
  })

  test('never replaces what is there', () => {
    writeFileSync(join(path, 'f'), 'mine')
    expect(() => write('/', 'f')).toThrow(/something of this name/)
    expect(() => target.makeDirectory('/', 'f')).toThrow(/something of this name/)
    expect(() => target.node('/', 'f', { type: 'symlink', target: 'x', ...ATTRIBUTES })).toThrow(
      /something of this name/,
    )
    expect(readFileSync(join(path, 'f'), 'utf8')).toBe('mine')
    expect(readdirSync(path)).toEqual(['f'])
  })

  test.skipIf(!linux)('a directory swapped for a link while it is open leads nowhere else', () => {
    target.makeDirectory('/', 'd')
    const held = target.directory('/d', null)
    swap('d')
    write('/d', 'victim', 'evil')
    target.makeDirectory('/d', 'sub')
    target.node('/d', 'link', { type: 'symlink', target: 'x', ...ATTRIBUTES })
    target.finishDirectory('/d', { ...ATTRIBUTES, mode: 0o750 })
    held.done()
    expect(readdirSync(join(path, 'aside')).sort()).toEqual(['link', 'sub', 'victim'])
  })

  test.skipIf(!linux)(
    'a thread that writes into a swapped directory writes into the one that was opened',
    async () => {
      target.makeDirectory('/', 'd')
      const held = target.directory('/d', null)
      swap('d')
      const directory = { ...held.ref, naming: 'exclusive' as const }
      const whole = { ...ATTRIBUTES, directory, name: 'victim' }
      const result = await createExtract(
        new Uint8Array(32),
        'thread',
      )({ object: null, files: [whole], frames: [] })
      held.done()
      expect(result.files).toEqual([null])
      expect(readdirSync(join(path, 'aside'))).toEqual(['victim'])
    },
  )

  test('a link where a directory should be is not followed, however deep', () => {
    symlinkSync(outside, join(path, 'd'))
    mkdirSync(join(path, 'e'))
    symlinkSync(outside, join(path, 'e', 'f'))
    for (const dir of ['/d', '/e/f', '/e/f/g', '/d/g']) {
      expect(() => target.directory(dir, () => undefined)).toThrow(/not a directory|symbolic link/)
      expect(() => target.makeDirectory(dir, 'x')).toThrow()
      expect(() => target.finishDirectory(dir, ATTRIBUTES)).toThrow()
      expect(() => target.file(dir, 'victim', 1)).toThrow()
      expect(() => target.link({ dir, name: 'victim' }, '/', 'mine')).toThrow()
    }
    expect(existsSync(join(path, 'mine'))).toBe(false)
  })

  test('a directory that is not there is made only where that is asked for', () => {
    expect(() => target.directory('/a/b', null)).toThrow(/is not there/)
    target.directory('/a/b', () => undefined).done()
    expect(lstatSync(join(path, 'a/b')).mode & 0o7777).toBe(0o700)
  })

  test('paths deeper than a call stack, and more directories than may be open, are no trouble', () => {
    const deep = '/d'.repeat(1200)
    target.directory(deep, () => undefined).done()
    write(deep, 'f')
    for (let i = 0; i < 600; i += 1) target.makeDirectory('/', `n${i}`)
    write(deep, 'g')
    expect(readdirSync(path)).toHaveLength(601)
  })

  test('a folder that holds something is refused, except what a new file system holds', () => {
    mkdirSync(join(folder, 'disk/lost+found'), { recursive: true })
    openTarget(join(folder, 'disk'), 'tag').close()
    writeFileSync(join(folder, 'disk/x'), '')
    let caught: unknown
    try {
      openTarget(join(folder, 'disk'), 'tag')
    } catch (error) {
      caught = error
    }
    expect(hasCode(caught, 'TARGET_UNSAFE')).toBe(true)
  })

  test.skipIf(!root)('owners, devices and fifos are made by root', () => {
    target.node('/', 'null', { type: 'char', device: [1, 3], ...ATTRIBUTES, owner: [12, 34] })
    target.node('/', 'pipe\xff', { type: 'fifo', ...ATTRIBUTES, owner: [1, 2] })
    const stat = lstatSync(join(path, 'null'))
    expect([stat.isCharacterDevice(), stat.uid, stat.gid, stat.mode & 0o7777]).toEqual([
      true,
      12,
      34,
      0o640,
    ])
    expect(readdirSync(path, { encoding: 'latin1' }).sort()).toEqual(['null', 'pipe\xff'])
  })
})

describe('times', () => {
  test.each([
    0n,
    1n,
    999n,
    1_700_000_000_123_456_999n,
    1_600_000_000_000_001_000n,
    4_102_444_800_999_999_999n,
    -1n,
    -1_500_000_000n,
    -1_500_000_999n,
  ])('%d ns is restored to the nanosecond, without koffi to its microsecond', (mtime) => {
    const open = target.file('/', 'f', 0)
    open.keep({ ...ATTRIBUTES, mtime })
    const down = (ns: bigint): bigint => (ns - (ns < 0n ? 999n : 0n)) / 1000n
    expect(lstatSync(join(path, 'f'), { bigint: true }).mtimeNs).toBe(mtime)
    const time = timeText(mtime)
    utimesSync(join(path, 'f'), time, time)
    expect(down(lstatSync(join(path, 'f'), { bigint: true }).mtimeNs)).toBe(down(mtime))
    expect(timeText(mtime)).toMatch(/^-?[\d.e-]+$/)
  })
})
