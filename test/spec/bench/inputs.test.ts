import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { KiB } from '#shared/units.ts'
import { binaryBlocks, drawsOf, editLarge, writeDump, writeLarge } from '../../bench/inputs.ts'
import { seeded } from '../../support/seeded.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-inputs-'))
const file = (name: string): string => join(folder, name)
const chance = (): ReturnType<typeof seeded> => seeded('inputs')

describe('what a benchmark is made on', () => {
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('numbers are below their limit, spread over it, and the same for the same seed', () => {
    const [one, two] = [drawsOf(chance()), drawsOf(chance())]
    const drawn = Array.from({ length: 40_000 }, () => one(10))
    expect(drawn).toEqual(drawn.map(() => two(10)))
    const counts = Array.from({ length: 10 }, (_, n) => drawn.filter((value) => value === n).length)
    expect(Math.min(...counts)).toBeGreaterThan(3000)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(40_000)
  })

  test('a dump with new rows holds every old one, in order', () => {
    writeDump(file('old'), 300 * KiB, { chance: chance(), inserted: null })
    writeDump(file('new'), 300 * KiB, { chance: chance(), inserted: 100 })
    const [old, now] = ['old', 'new'].map((name) => readFileSync(file(name), 'utf8').split('\n'))
    const before = new Set(old)
    expect(now?.filter((row) => before.has(row))).toEqual(old)
    expect(now?.length).toBe((old?.length ?? 0) + Math.floor(((old?.length ?? 0) - 1) / 100))
  })

  test('a large file keeps its size and its beginning when it is edited, and is the same each time', () => {
    const size = 2000 * KiB
    const make = (name: string): Buffer => {
      writeLarge(file(name), size, binaryBlocks(chance()))
      const before = readFileSync(file(name))
      expect(before).toHaveLength(size)
      editLarge(file(name), size, chance().fork('edits'))
      const after = readFileSync(file(name))
      expect(after).toHaveLength(size)
      expect(after.equals(before)).toBe(false)
      const same = (from: number, shift: number): boolean =>
        after.subarray(from + shift, from + shift + 64).equals(before.subarray(from, from + 64))
      // Twenty places of 4 KiB are written over; of as many looks, most find what was there, moved by what was inserted.
      const looks = Array.from({ length: 20 }, (_, n) => 64 + n * 45 * KiB)
      expect(looks.filter((at) => same(at, 0)).length).toBeGreaterThan(10)
      const later = Array.from({ length: 8 }, (_, n) => size / 2 + 64 + n * 45 * KiB)
      expect(later.filter((at) => same(at, 1000)).length).toBeGreaterThan(4)
      return after
    }
    expect(make('one').equals(make('two'))).toBe(true)
  })
})
