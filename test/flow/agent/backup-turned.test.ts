/** Files that are something else by the time they are read, and sparse ones that change meanwhile. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { native } from '#agent/io/native.ts'
import { nodeFileSystem } from '#agent/io/node-fs.ts'
import type { FileSystem, Sealers } from '#agent/ports.ts'
import { MiB } from '#shared/units.ts'
import { inlineSealers } from '../../support/agent-backup.ts'
import { bytesOf, contentOf, expectNothingLost, newRig } from '../../support/agent-backup-checks.ts'
import { sparseFile } from '../../support/sparse-file.ts'

const once = (path: string, happen: () => void): FileSystem => {
  const fs = nodeFileSystem()
  let done = false
  return {
    ...fs,
    stat: (one) => {
      const stat = fs.stat(one)
      if (one === bytesOf(path) && !done) {
        done = true
        happen()
      }
      return stat
    },
  }
}

/** A socket that stays when its server is gone: node removes it, a program that was killed does not. */
const makeSocket = async (path: string): Promise<void> => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(`${path} made`, resolve))
  execFileSync('mv', [`${path} made`, path])
  await new Promise((resolve) => server.close(resolve))
}

const TURNS: readonly (readonly [what: string, code: string, turn: (path: string) => void])[] = [
  ['nothing', 'SOURCE_VANISHED', () => undefined],
  ['a folder', 'SOURCE_CHANGED', (path) => mkdirSync(path)],
  ['a link', 'SOURCE_CHANGED', (path) => symlinkSync('there', path)],
  ['a fifo', 'SOURCE_CHANGED', (path) => void execFileSync('mkfifo', [path])],
  ['a socket', 'SOURCE_CHANGED', (path) => void execFileSync('mv', [`${path}.socket`, path])],
]

describe('a file that is read', () => {
  describe.each([
    ['small', 5],
    ['large', 5 * MiB],
  ])('%s', (_, size) => {
    test.each(TURNS)(
      'and has become %s is named %s; the rest goes on',
      async (what, code, turn) => {
        const r = newRig()
        const path = join(r.source, 'it')
        writeFileSync(path, Buffer.alloc(size, 'x'))
        writeFileSync(join(r.source, 'there'), 'still')
        const isSocket = what === 'a socket'
        if (isSocket) await makeSocket(`${path}.socket`)
        await r.backup({
          fs: once(path, () => {
            rmSync(path)
            turn(path)
          }),
        })
        const { errors, counts } = r.read().record
        expect(errors.first.filter((error) => error.path === bytesOf(path))).toMatchObject([
          { code },
        ])
        expect(contentOf(r, 'it')).toBeUndefined()
        expect(contentOf(r, 'there')).toBe('still')
        expect(counts.files).toBe(1)
        expectNothingLost(r)
        await r.backup()
        const after = r.read()
        expect(after.record.errors.count).toBe(0)
        expect(after.entries.has(bytesOf(path))).toBe(what !== 'nothing')
        expect(after.record.counts.skipped).toBe(isSocket ? 1 : 0)
      },
    )
  })
})

/** Something happens between the parts of a large file. */
const between = (happen: () => void): Sealers => {
  const sealers = inlineSealers()
  return {
    ...sealers,
    start: (setup, onSealed) => {
      const sealing = sealers.start(setup, onSealed)
      return {
        ...sealing,
        window: async (window) => {
          if (window.from > 0) happen()
          return await sealing.window(window)
        },
      }
    },
  }
}

describe.skipIf(native() === null)('a sparse file that is read (needs koffi)', () => {
  const DATA = [
    [0, 9 * MiB],
    [21 * MiB, 9 * MiB],
  ] as const

  test.each([
    ['ends in its second data', 25 * MiB, /SHRUNK|CHANGED/],
    ['ends in its hole', 12 * MiB, /SHRUNK|CHANGED/],
    ['ends in what is read', 3 * MiB, /SHRUNK|CHANGED/],
    ['has grown', 60 * MiB, null],
  ])('and %s meanwhile is stored as far as it was read', async (_, length, code) => {
    const r = newRig()
    const path = join(r.source, 'sparse')
    sparseFile(path, 40 * MiB, DATA)
    await r.backup({ sealers: between(() => truncateSync(path, length)) })
    const { errors } = r.read().record
    expect(errors.count).toBe(code === null ? 0 : 1)
    if (code !== null) expect(errors.first[0]?.code).toMatch(code)
    const { entry } = r.read().entries.get(bytesOf(path)) ?? {}
    expect(entry?.size).toBeLessThanOrEqual(40 * MiB)
    await r.backup()
    expect(r.read().record.errors.count).toBe(0)
    expect(r.read().entries.get(bytesOf(path))?.entry.size).toBe(statSync(path).size)
  })

  test('and has a hole filled meanwhile is named, and read again next time', async () => {
    const r = newRig()
    const path = join(r.source, 'sparse')
    sparseFile(path, 40 * MiB, DATA)
    let filled = false
    const fillIt = (): void => {
      if (filled) return
      filled = true
      sparseFile(`${path} filled`, 40 * MiB, [...DATA, [12 * MiB, MiB]])
      execFileSync('dd', [`if=${path} filled`, `of=${path}`, 'bs=1M', 'conv=notrunc'], {
        stdio: 'ignore',
      })
      rmSync(`${path} filled`)
    }
    await r.backup({ sealers: between(fillIt) })
    expect(r.read().record.errors.first).toMatchObject([{ code: 'SOURCE_CHANGED' }])
    await r.backup()
    expect(r.read().record.errors.count).toBe(0)
    const { content } = r.read().entries.get(bytesOf(path)) ?? {}
    expect(content?.subarray(12 * MiB, 13 * MiB).every((byte) => byte === 0)).toBe(false)
  })

  test('with more holes than a line has room for keeps the largest', async () => {
    const r = newRig()
    const path = join(r.source, 'many')
    const data = Array.from({ length: 1500 }, (_, i) => [i * 3 * 4096, 4096] as const)
    sparseFile(path, 1500 * 3 * 4096, data)
    await r.backup()
    const { entry, content } = r.read().entries.get(bytesOf(path)) ?? {}
    expect(entry?.holes).toHaveLength(1024)
    expect(content?.length).toBe(1500 * 3 * 4096)
    expect(r.read().record.errors.count).toBe(0)
  })
})
