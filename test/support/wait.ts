import { setTimeout as sleep } from 'node:timers/promises'

/** Looks until `look` answers something; throws after `deadline` ms, which is for a test that would otherwise hang. */
export const eventually = async <T>(
  what: string,
  look: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  deadline = 60_000,
): Promise<T> => {
  const end = performance.now() + deadline
  for (;;) {
    const found = await look()
    if (found !== null && found !== undefined && found !== false) return found
    if (performance.now() > end) throw new Error(`never: ${what}`)
    await sleep(10)
  }
}
