import fs from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { isFault } from '#agent/core/stat.ts'
import { loadNative } from '#agent/io/native.ts'
import { readPart, readWholes } from '#agent/io/read-files.ts'
import { KiB, MiB } from '#shared/units.ts'
import { fillGenerated, generatedFiles, generatedFolder } from '../../bench/generated.ts'

const files = generatedFiles()
const namesIn = (path: string): readonly string[] => {
  const names = files.names(path)
  if (isFault(names)) throw new Error(names.problem)
  return names
}
const arena = Buffer.alloc(MiB)
const reading = { arena, now: () => 0, native: loadNative() }
const pathOf = (count: number, bytes: number, n: number): string =>
  `${generatedFolder(count, bytes)}/${['d', String(Math.floor(n / 1000)).padStart(9, '0')].join('')}` +
  `/f${String(n).padStart(9, '0')}`

describe('files that are nowhere', () => {
  const opened = fs.openSync(import.meta.filename, 'r')
  afterAll(() => fs.closeSync(opened))

  test('are as many as their folder says, in the order of their bytes, and each has its own inode', () => {
    const top = generatedFolder(2345, 10)
    const all = namesIn(top).flatMap((dir) =>
      namesIn(`${top}/${dir}`).map((name) => `${dir}/${name}`),
    )
    expect(all).toHaveLength(2345)
    expect(all).toEqual(all.toSorted())
    const inodes = all.map((name) => {
      const stat = files.stat(`${top}/${name}`)
      return isFault(stat) ? 0 : stat.ino
    })
    expect(new Set(inodes).size).toBe(2345)
    expect(inodes).not.toContain(0)
  })

  test('that are not among them do not exist', () => {
    for (const path of [pathOf(10, 10, 10), pathOf(1500, 1, 2000), '/generated/x', '/tmp'])
      expect(isFault(files.stat(path))).toBe(true)
  })

  test('hold the same bytes however they are read, and no block twice', () => {
    const whole = Buffer.alloc(100 * KiB)
    const one = { index: 3, size: 90 * KiB }
    expect(fillGenerated(whole, one, { start: 0, length: 100 * KiB, position: 0 })).toBe(90 * KiB)
    const part = Buffer.alloc(10_000)
    fillGenerated(part, one, { start: 0, length: 10_000, position: 12_345 })
    expect(part.equals(whole.subarray(12_345, 22_345))).toBe(true)
    const blocks = Array.from({ length: 22 }, (_, n) =>
      whole.subarray(4 * KiB * n, 4 * KiB * (n + 1)).toString('hex'),
    )
    expect(new Set(blocks).size).toBe(22)
  })

  test('are read by the agent as any other file', () => {
    const { outcomes, sizes, faults, extras } = readWholes(
      [pathOf(5, 1000, 1), pathOf(5, 1000, 4), pathOf(5, 1000, 5)],
      reading,
    )
    expect([...sizes]).toEqual([1000, 1000, 0])
    expect([...outcomes.slice(0, 2)]).toEqual([0, 0])
    expect(extras).toEqual([])
    expect(faults.map(({ index, fault }) => [index, fault])).toEqual([[2, 'ENOENT']])
    const { content, outcomes: ofPart } = readPart(
      { path: pathOf(1, 5 * MiB, 0), from: 4.5 * MiB, limit: -1, holes: null },
      reading,
    )
    expect(ofPart[0]).toBe(0)
    expect(content).toMatchObject({ start: 0, end: MiB / 2, reachesEnd: true })
  })

  test('leave all others alone', () => {
    expect(fs.fstatSync(opened).size).toBe(fs.statSync(import.meta.filename).size)
    expect(fs.readSync(opened, arena, 0, 6, 0)).toBe(6)
    expect(arena.subarray(0, 6).toString()).toBe('import')
  })
})
