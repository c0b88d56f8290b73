/** Pack numbers in reserve: asked for in blocks that grow with the run, so that a small run wastes few. */
import { fail } from '#shared/errors.ts'
import type { PackNo } from '#shared/format/locator.ts'
import type { RunLink } from '../ports.ts'

export type Numbers = {
  /** `count` numbers, the smallest at hand first. */
  take(count: number): Promise<readonly number[]>
  /** What was not needed comes back. */
  give(numbers: readonly number[]): void
}

const FIRST_BLOCK = 4
const MOST = 256

/**
 * `above`: the highest number that this agent knows of in the vault, which is its alone. A control plane with an older
 * database would hand out numbers again that stand for other bytes: it is told, so that it goes on above them, and what
 * it gives is not believed. A locator that is found under a number given twice would lead into the wrong pack.
 */
export const createNumbers = (link: RunLink, above: PackNo, stop: AbortSignal): Numbers => {
  let reserve: number[] = []
  let highest = above
  let block = FIRST_BLOCK
  let filling: Promise<void> | null = null
  const fill = async (least: number): Promise<void> => {
    const count = Math.max(block, least)
    block = Math.min(MOST, 2 * block)
    const asked = highest === 0 ? { count } : { count, above: highest }
    const given = await link.request('numbers.request', asked, stop)
    if (given.first <= highest)
      throw fail('PROTOCOL_VIOLATION', {
        problem: `pack number ${String(given.first)} was given before: the catalog is older than what this agent has written`,
      })
    highest = given.first + given.count - 1
    for (let i = 0; i < given.count; i += 1) reserve.push(given.first + i)
  }
  return {
    take: async (count) => {
      while (reserve.length < count) {
        filling ??= fill(count).finally(() => {
          filling = null
        })
        await filling
      }
      return reserve.splice(0, count)
    },
    give: (numbers) => {
      reserve = [...numbers, ...reserve].sort((a, b) => a - b)
    },
  }
}
