import { describe, expect, test } from 'vitest'
import {
  MOST_SMALL_PACKS,
  packsToRetire,
  SMALL_PACK,
  type UsedPack,
} from '#server/core/deletion.ts'

const pack = (over: Partial<UsedPack>): UsedPack => ({
  no: 1,
  size: 16 * SMALL_PACK,
  live: 40,
  most: 100,
  isHeld: false,
  ...over,
})

describe('a pack is retired', () => {
  test('when its newest users need less than half of what was once used of it', () => {
    expect(packsToRetire([pack({ live: 49 })], 0)).toEqual([1])
    expect(packsToRetire([pack({ live: 50 })], 0)).toEqual([])
  })

  test('but not while an older user stays, nor when nobody uses it: that one is condemned', () => {
    expect(packsToRetire([pack({ isHeld: true })], 0)).toEqual([])
    expect(packsToRetire([pack({ live: 0 })], 0)).toEqual([])
  })

  test('when it is small and the vault has too many of those, whoever holds it', () => {
    const small = pack({ no: 7, size: SMALL_PACK - 1, live: 100, isHeld: true })
    expect(packsToRetire([small], MOST_SMALL_PACKS)).toEqual([])
    expect(packsToRetire([small, pack({ live: 90 })], MOST_SMALL_PACKS + 1)).toEqual([7])
  })
})
