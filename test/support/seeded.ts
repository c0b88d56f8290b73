/** Chance from a seed: the same seed gives the same bytes, numbers and choices in every run. */
import { createCipheriv, createHash } from 'node:crypto'
import type { Random } from '#shared/world.ts'

export type Seeded = {
  readonly bytes: Random
  /** A whole number in `[0, below)`. */
  below(limit: number): number
  chance(share: number): boolean
  pick<T>(list: readonly T[]): T
  /** Another source of chance, whose use does not change this one's. */
  fork(name: string): Seeded
}

export const seeded = (seed: string): Seeded => {
  const key = createHash('sha256').update(`holdfast test ${seed}`).digest()
  const stream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  const bytes: Random = (length) => Uint8Array.from(stream.update(Buffer.alloc(length)))
  const below = (limit: number): number => {
    const [word = 0] = new Uint32Array(bytes(4).buffer)
    return Math.floor((word / 2 ** 32) * limit)
  }
  return {
    bytes,
    below,
    chance: (share) => below(1_000_000) < share * 1_000_000,
    pick: (list) => {
      const one = list[below(list.length)]
      if (one === undefined) throw new RangeError('nothing to pick from')
      return one
    },
    fork: (name) => seeded(`${seed}/${name}`),
  }
}
