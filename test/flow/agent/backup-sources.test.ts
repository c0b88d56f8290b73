import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createProblems, asLines } from '#agent/core/problems.ts'
import { nodeFileSystem } from '#agent/io/node-fs.ts'
import type { FileSystem } from '#agent/ports.ts'
import { bytesOf, contentOf, newRig } from '../../support/agent-backup-checks.ts'
import type { Rig } from '../../support/agent-backup.ts'

const from = async (r: Rig, ...paths: string[]): Promise<void> =>
  r.backup({ sources: [{ type: 'files', paths }] })

const errorsOf = (r: Rig): object[] => r.cp.finishes.at(-1)?.errors ?? []

const lines = (r: Rig): string[] =>
  r.cp.told.flatMap(({ type, body }) =>
    type === 'log' && 'message' in body ? [String(body.message)] : [],
  )

/** A file system in which these cannot be listed. */
const blindTo = (...folders: string[]): FileSystem => {
  const fs = nodeFileSystem()
  return {
    ...fs,
    names: (dir) =>
      folders.some((folder) => bytesOf(folder) === dir)
        ? { fault: 'EACCES', problem: 'EACCES: permission denied' }
        : fs.names(dir),
  }
}

describe('a source that cannot be had', () => {
  test('is named in the backup, in the record and in the log, beside one that can', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'a'), 'there')
    const missing = join(r.folder, 'missing')
    await from(r, r.source, missing)
    const error = { path: missing, code: 'SOURCE_UNREADABLE', problem: 'it does not exist' }
    expect(errorsOf(r)).toEqual([error])
    expect(r.read().record.errors.first).toMatchObject([{ path: bytesOf(missing) }])
    expect(lines(r)).toEqual([`Cannot read ${missing}: it does not exist.`])
    expect(contentOf(r, 'a')).toBe('there')
  })

  test('below a folder that is not there, or is a file, is named itself', async () => {
    const r = newRig()
    writeFileSync(join(r.folder, 'file'), 'x')
    const [deep, deeper] = [join(r.folder, 'no', 'a', 'b'), join(r.folder, 'no', 'c')]
    const behind = join(r.folder, 'file', 'x')
    await from(r, r.source, deep, deeper, behind)
    const why = `${join(r.folder, 'no')}: it does not exist`
    expect(errorsOf(r)).toEqual([
      { path: behind, code: 'SOURCE_UNREADABLE', problem: expect.any(String) as string },
      { path: deep, code: 'SOURCE_UNREADABLE', problem: why },
      { path: deeper, code: 'SOURCE_UNREADABLE', problem: why },
    ])
  })

  test('and is a file that others are said to lie in is read, and only those are named', async () => {
    const r = newRig()
    const file = join(r.source, 'file')
    writeFileSync(file, 'content')
    await from(r, file, join(file, 'below'))
    expect(errorsOf(r)).toMatchObject([{ path: join(file, 'below') }])
    expect(contentOf(r, 'file')).toBe('content')
  })

  test('is backed up again as soon as it is there', async () => {
    const r = newRig()
    const late = join(r.folder, 'late')
    await from(r, r.source, late)
    mkdirSync(late)
    writeFileSync(join(late, 'x'), 'now')
    await from(r, r.source, late)
    expect(r.cp.finishes[1]?.error_count).toBe(0)
    rmSync(late, { recursive: true })
    await from(r, r.source, late)
    expect(errorsOf(r)).toMatchObject([{ path: late, code: 'SOURCE_UNREADABLE' }])
    expect(r.read().entries.has(bytesOf(join(late, 'x')))).toBe(false)
  })
})

describe('a job of which nothing can be had', () => {
  test('ends without a backup, and the one before stays what the next begins from', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'a'), 'there')
    await r.backup()
    rmSync(r.source, { recursive: true })
    await expect(r.backup()).rejects.toMatchObject({
      code: 'SOURCE_UNREADABLE',
      details: { path: r.source, problem: 'it does not exist' },
    })
    expect(r.cp.commits.length).toBe(1)
    mkdirSync(r.source)
    writeFileSync(join(r.source, 'a'), 'there')
    await r.backup()
    expect(r.read().record.sequence).toBe(2)
  })

  test('names the first and says how many others', async () => {
    const r = newRig()
    const paths = ['x', 'y', 'z'].map((name) => join(r.folder, name))
    await expect(from(r, ...paths, 'not/absolute')).rejects.toMatchObject({
      code: 'SOURCE_UNREADABLE',
      details: { problem: expect.stringContaining('nor can the other 3 of this job') as string },
    })
  })

  test('ends so too where it is there and cannot be read', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'a'), 'there')
    await expect(r.backup({ fs: blindTo(r.source) })).rejects.toMatchObject({
      code: 'SOURCE_UNREADABLE',
    })
    const file = join(r.source, 'a')
    const real = nodeFileSystem()
    const fs: FileSystem = {
      ...real,
      stat: (path) => {
        const found = real.stat(path)
        if (path === bytesOf(file)) rmSync(file, { force: true })
        return found
      },
    }
    await expect(
      r.backup({ fs, sources: [{ type: 'files', paths: [file] }] }),
    ).rejects.toMatchObject({ code: 'SOURCE_UNREADABLE', details: { path: file } })
  })

  test('is another thing than an empty folder, or a source in an unreadable one', async () => {
    const r = newRig()
    await r.backup()
    expect(r.cp.finishes[0]?.error_count).toBe(0)
    const inner = join(r.source, 'inner')
    mkdirSync(inner)
    writeFileSync(join(inner, 'a'), 'there')
    await r.backup({
      fs: blindTo(r.source),
      sources: [{ type: 'files', paths: [r.source, inner] }],
    })
    expect(errorsOf(r)).toMatchObject([{ path: r.source, code: 'SOURCE_UNREADABLE' }])
    expect(contentOf(r, 'inner/a')).toBe('there')
  })
})

test('of many problems the log of a run gets the first, without what could harm a terminal', () => {
  const said: string[] = []
  const problems = createProblems(asLines((line) => said.push(line)))
  for (let i = 0; i < 500; i += 1)
    problems.add(`/a\x1b[2J${i}`, 'SOURCE_UNREADABLE', 'EIO: i/o error')
  expect(problems.count).toBe(500)
  expect(said.length).toBe(101)
  expect(said[0]).toBe('Cannot read /a\\x1b[2J0: EIO: i/o error.')
  expect(said[100]).toContain('more problems')
})
