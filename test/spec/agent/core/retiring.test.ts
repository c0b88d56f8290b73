import { describe, expect, test } from 'vitest'
import { packsToLeave } from '#agent/core/retiring.ts'
import { MiB } from '#shared/units.ts'

const parent = (content: [number, number][]) => ({ content, structure: [] })

describe('retired packs', () => {
  test('that the run does not use are left for nothing', () => {
    expect([...packsToLeave([1, 2], null)]).toEqual([1, 2])
    expect([...packsToLeave([1, 2], parent([[3, 10]]))]).toEqual([1, 2])
  })

  test('are left cheapest first, as far as the budget of the run goes', () => {
    const uses: [number, number][] = [
      [1, 200 * MiB],
      [2, 100 * MiB],
      [3, 150 * MiB],
      [4, 1],
    ]
    expect([...packsToLeave([1, 2, 3], parent(uses))]).toEqual([2, 3])
    expect([...packsToLeave([1, 2], parent(uses))]).toEqual([2])
  })

  test('are a tenth of what a large backup uses', () => {
    const uses: [number, number][] = [
      [1, 900 * MiB],
      [2, 9200 * MiB],
    ]
    expect([...packsToLeave([1], parent(uses))]).toEqual([1])
    expect([...packsToLeave([2], parent(uses))]).toEqual([])
  })

  test('count with what the tree itself uses of them', () => {
    const both = { content: [[1, 200 * MiB]] as const, structure: [[1, 100 * MiB]] as const }
    expect([...packsToLeave([1], both)]).toEqual([])
  })
})
