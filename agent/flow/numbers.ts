/** Pack numbers in reserve: asked for in blocks that grow with the run, so that a small run wastes few. */
import type { RunLink } from '../ports.ts'

export type Numbers = {
  /** `count` numbers, the smallest at hand first. */
  take(count: number): Promise<readonly number[]>
  /** What was not needed comes back. */
  give(numbers: readonly number[]): void
}

const FIRST_BLOCK = 4
const MOST = 256

export const createNumbers = (link: RunLink, stop: AbortSignal): Numbers => {
  let reserve: number[] = []
  let block = FIRST_BLOCK
  let filling: Promise<void> | null = null
  const fill = async (least: number): Promise<void> => {
    const count = Math.max(block, least)
    block = Math.min(MOST, 2 * block)
    const given = await link.request('numbers.request', { count }, stop)
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
