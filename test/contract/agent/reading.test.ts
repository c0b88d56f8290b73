import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { OUTCOME, loadStat } from '#agent/core/sealing.ts'
import { isFault } from '#agent/core/stat.ts'
import { native } from '#agent/io/native.ts'
import { nodeFileSystem } from '#agent/io/node-fs.ts'
import { readPart, readWholes } from '#agent/io/read-files.ts'
import { poolOf } from '#agent/io/workers.ts'
import { expectComplete, fill, newRig } from '../../support/agent-backup-checks.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-read-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => join(folder, name)
const now = (): number => 5

describe('reading whole files', () => {
  test('lays them one behind the other and says what each was', () => {
    writeFileSync(at('a'), 'first')
    writeFileSync(at('b'), 'second')
    const arena = Buffer.alloc(100)
    const read = readWholes([at('a'), at('missing'), at('b')], { arena, now, native: native() })
    expect([...read.outcomes]).toEqual([OUTCOME.read, OUTCOME.fault, OUTCOME.read])
    expect(arena.toString('latin1', 0, 11)).toBe('firstsecond')
    expect(read.contents.map(({ start, end }) => [start, end])).toEqual([
      [0, 5],
      [5, 5],
      [5, 11],
    ])
    expect(read.faults).toMatchObject([{ index: 1, fault: 'ENOENT' }])
    expect(loadStat(read.stats, 2)).toMatchObject({
      size: 6,
      ino: statSync(at('b'), { bigint: true }).ino,
    })
    expect(read.readAt).toBe(5)
  })

  test('leaves for later what does not fit or became large', () => {
    writeFileSync(at('small'), 'x'.repeat(60))
    writeFileSync(at('large'), '')
    truncateSync(at('large'), 5 * MiB)
    const read = readWholes([at('small'), at('small'), at('large')], {
      arena: Buffer.alloc(100),
      now,
      native: native(),
    })
    expect([...read.outcomes]).toEqual([OUTCOME.read, OUTCOME.later, OUTCOME.later])
  })

  test('never follows a link and never waits for a pipe', () => {
    writeFileSync(at('a'), 'secret')
    symlinkSync(at('a'), at('link'))
    execFileSync('mkfifo', [at('pipe')])
    mkdirSync(at('dir'))
    const read = readWholes([at('link'), at('pipe'), at('dir')], {
      arena: Buffer.alloc(100),
      now,
      native: native(),
    })
    expect([...read.outcomes]).toEqual([OUTCOME.fault, OUTCOME.later, OUTCOME.later])
    expect(read.faults[0]?.fault).toBe('ELOOP')
  })

  const SHORT = '/sys/kernel/mm/transparent_hugepage/enabled'
  const isShort = ((): boolean => {
    try {
      return readFileSync(SHORT).length < statSync(SHORT).size
    } catch {
      return false
    }
  })()
  test.skipIf(!isShort)('says that a file ended early (needs sysfs, whose files do)', () => {
    const read = readWholes([SHORT], { arena: Buffer.alloc(8192), now, native: native() })
    expect([...read.outcomes]).toEqual([OUTCOME.shrunk])
    expect(read.sizes[0]).toBe(readFileSync(SHORT).length)
  })
})

describe('reading parts of a file', () => {
  test('goes no further than the limit, and says where the file ends', () => {
    const bytes = randomBytes(1000)
    writeFileSync(at('a'), bytes)
    const arena = Buffer.alloc(400)
    const memory = { arena, now, native: native() }
    expect(readPart({ path: at('a'), from: 0, limit: -1, holes: null }, memory).content).toEqual({
      start: 0,
      end: 400,
      reachesEnd: false,
      isWholeFile: false,
    })
    expect(arena.equals(bytes.subarray(0, 400))).toBe(true)
    expect(
      readPart({ path: at('a'), from: 800, limit: -1, holes: null }, memory).content,
    ).toMatchObject({
      end: 200,
      reachesEnd: true,
    })
    expect(
      readPart({ path: at('a'), from: 800, limit: 900, holes: null }, memory).content,
    ).toMatchObject({
      end: 100,
      reachesEnd: true,
    })
    expect(readPart({ path: at('gone'), from: 0, limit: -1, holes: null }, memory)).toMatchObject({
      content: null,
    })
  })
})

describe('the file system', () => {
  const fs = nodeFileSystem()
  test('lists names as bytes, in the order of their bytes', () => {
    for (const name of ['b', 'a', 'ü', 'B', 'a b']) writeFileSync(at(name), '')
    writeFileSync(Buffer.from(`${folder}/\xff`, 'latin1'), '')
    expect(fs.names(folder)).toEqual([
      'B',
      'a',
      'a b',
      'b',
      Buffer.from('ü').toString('latin1'),
      '\xff',
    ])
  })

  test('answers with a fault where there is nothing, or no permission, or no folder', () => {
    for (const answer of [
      fs.names(at('x')),
      fs.stat(at('x')),
      fs.exact(at('x')),
      fs.followed(at('x')),
      fs.target(at('x')),
    ])
      expect(answer).toMatchObject({ fault: 'ENOENT' })
    writeFileSync(at('file'), '')
    expect(fs.names(at('file'))).toMatchObject({ fault: 'ENOTDIR' })
    expect(fs.stat(at('file/x'))).toMatchObject({ fault: 'ENOTDIR' })
    expect(fs.target(at('file'))).toMatchObject({
      fault: 'EINVAL',
      problem: 'EINVAL: invalid argument',
    })
  })

  test('sees through a link only when asked to', () => {
    mkdirSync(at('dir'))
    symlinkSync('dir', at('link'))
    chmodSync(at('dir'), 0o750)
    const [exact, followed] = [fs.exact(at('link')), fs.followed(at('link'))]
    if (isFault(exact) || isFault(followed)) throw new Error('both are there')
    expect(exact.mode & 0o170000).toBe(0o120000)
    expect(followed.mode).toBe(0o040750)
    expect(fs.target(at('link'))).toBe('dir')
  })

  test('knows the names of users, and the mount points of the kernel', () => {
    expect(fs.user(0)).toBe('root')
    expect(fs.group(4_000_000_000)).toBeUndefined()
    expect(fs.isKernelState('/proc')).toBe(true)
    expect(fs.isKernelState(folder)).toBe(false)
  })
})

describe('the sealing threads', () => {
  test('make the same backup as one thread of control', async () => {
    const r = newRig()
    fill(r.source)
    for (let i = 0; i < 10; i += 1)
      writeFileSync(join(r.source, `larger ${i}`), randomBytes(3 * MiB))
    await r.backup({ sealers: poolOf(2) })
    expectComplete(r)
    writeFileSync(join(r.source, 'more'), randomBytes(20 * MiB))
    await r.backup({ sealers: poolOf(3) })
    expectComplete(r)
    expect(r.read().record.bytes.new).toBe(20 * MiB)
  })

  test('end with the run, also when it fails', async () => {
    const r = newRig()
    fill(r.source)
    r.cp.dieAfter = 9
    await expect(r.backup({ sealers: poolOf(2) })).rejects.toThrow('the agent died')
    r.cp.dieAfter = Infinity
    await r.backup({ sealers: poolOf(2) })
    expectComplete(r)
  })
})
