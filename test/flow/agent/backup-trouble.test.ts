import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { OUTCOME } from '#agent/core/sealing.ts'
import { nodeFileSystem } from '#agent/io/node-fs.ts'
import type { FileSystem, Sealers } from '#agent/ports.ts'
import { inlineSealers } from '../../support/agent-backup.ts'
import {
  bytesOf,
  contentOf,
  expectComplete,
  fill,
  newRig,
} from '../../support/agent-backup-checks.ts'

/** A file system in which something happens to a path right after it was looked at. */
const after = (path: string, happen: () => void): FileSystem => {
  const fs = nodeFileSystem()
  return {
    ...fs,
    stat: (one) => {
      const stat = fs.stat(one)
      if (one === bytesOf(path)) happen()
      return stat
    },
  }
}

/** Sealing threads for which the first file of every batch ends in `outcome`. */
const troubled = (outcome: number): Sealers => {
  const sealers = inlineSealers()
  return {
    ...sealers,
    start: (setup, onSealed) => {
      const sealing = sealers.start(setup, onSealed)
      return {
        ...sealing,
        files: async (paths) => {
          const reading = await sealing.files(paths)
          reading.files.outcomes[0] = outcome
          return reading
        },
      }
    },
  }
}

describe('trouble with a file', () => {
  test('that vanished is named, and the file is not in the backup', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'gone'), 'soon')
    writeFileSync(join(r.source, 'there'), 'still')
    await r.backup({
      fs: after(join(r.source, 'gone'), () => rmSync(join(r.source, 'gone'), { force: true })),
    })
    expect(r.cp.finishes[0]?.errors).toMatchObject([
      { path: join(r.source, 'gone'), code: 'SOURCE_VANISHED' },
    ])
    expect(contentOf(r, 'gone')).toBeUndefined()
    expect(contentOf(r, 'there')).toBe('still')
    expect(r.read().record.errors.first[0]?.code).toBe('SOURCE_VANISHED')
  })

  test('that cannot be read is named; it stays in the tree without content and is tried again', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'secret'), 'secret')
    const sealers = inlineSealers()
    const refusing: Sealers = {
      ...sealers,
      start: (setup, onSealed) => {
        const sealing = sealers.start(setup, onSealed)
        return {
          ...sealing,
          files: async () => {
            const reading = await sealing.files(['/does/not/exist'])
            const faults = [{ index: 0, fault: 'EACCES', problem: 'EACCES: permission denied' }]
            return { ...reading, files: { ...reading.files, faults } }
          },
        }
      },
    }
    await r.backup({ sealers: refusing })
    expect(r.cp.finishes[0]?.errors).toMatchObject([{ code: 'SOURCE_UNREADABLE' }])
    const entry = r.read().entries.get(bytesOf(join(r.source, 'secret')))?.entry
    expect(entry).toMatchObject({ type: 'file', size: 6, skipped: 'unreadable' })
    await r.backup()
    expect(contentOf(r, 'secret')).toBe('secret')
    expect(r.cp.finishes[1]?.error_count).toBe(0)
  })

  test.each([
    ['shrunk', 'SOURCE_SHRUNK'],
    ['changed', 'SOURCE_CHANGED'],
  ] as const)('that %s while it was read is named, kept, and read again', async (outcome, code) => {
    const r = newRig()
    writeFileSync(join(r.source, 'busy'), 'busy')
    await r.backup({ sealers: troubled(OUTCOME[outcome]) })
    expect(r.cp.finishes[0]?.errors).toMatchObject([{ code }])
    expect(contentOf(r, 'busy')).toBe('busy')
    await r.backup()
    expect(r.read().record.bytes.read).toBe(4)
    expect(r.cp.finishes[1]?.error_count).toBe(0)
  })

  test('that grew while it was read is no error, and it is read again', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'log'), 'line')
    await r.backup({ sealers: troubled(OUTCOME.grown) })
    expect(r.cp.finishes[0]?.error_count).toBe(0)
    await r.backup()
    expect(r.read().record.bytes.read).toBe(4)
  })

  test('that became large or small after it was looked at is read as it is', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'grows'), 'x')
    writeFileSync(join(r.source, 'shrinks'), randomBytes(6 * MiB))
    const fs = after(join(r.source, 'grows'), () => {
      writeFileSync(join(r.source, 'grows'), Buffer.alloc(5 * MiB, 'y'))
      truncateSync(join(r.source, 'shrinks'), 10)
    })
    await r.backup({ fs })
    expect(r.cp.finishes[0]?.error_count).toBe(0)
    expectComplete(r)
  })

  test('that became a folder is named', async () => {
    const r = newRig()
    const path = join(r.source, 'file')
    writeFileSync(path, 'file')
    await r.backup({
      fs: after(path, () => {
        rmSync(path, { recursive: true, force: true })
        mkdirSync(path)
      }),
    })
    expect(r.cp.finishes[0]?.errors).toMatchObject([{ path, code: 'SOURCE_CHANGED' }])
  })

  test('a folder that cannot be listed is named, and the rest goes on', async () => {
    const r = newRig()
    fill(r.source)
    const fs = nodeFileSystem()
    const blind: FileSystem = {
      ...fs,
      names: (dir) =>
        dir.endsWith('/sub')
          ? { fault: 'EACCES', problem: 'EACCES: permission denied' }
          : fs.names(dir),
    }
    await r.backup({ fs: blind })
    expect(r.cp.finishes[0]?.errors).toMatchObject([
      { path: join(r.source, 'sub'), code: 'SOURCE_UNREADABLE' },
    ])
    expect(contentOf(r, 'a.txt')).toBe('hello')
  })

  test('many errors lie in a list of their own', async () => {
    const r = newRig()
    for (let i = 0; i < 400; i += 1) writeFileSync(join(r.source, `file ${i}`), String(i))
    const fs = nodeFileSystem()
    await r.backup({
      fs: {
        ...fs,
        stat: (path) =>
          path.includes('/file ') ? { fault: 'EIO', problem: 'EIO: i/o error' } : fs.stat(path),
      },
    })
    expect(r.cp.finishes[0]?.error_count).toBe(400)
    expect(r.cp.finishes[0]?.errors.length).toBe(100)
    const { errors } = r.read().record
    expect(errors.count).toBe(400)
    expect(errors.all).toBeDefined()
  })
})
