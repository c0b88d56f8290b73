import type { Random } from '#shared/world.ts'
import { randomBytes } from 'node:crypto'

/** Strong random bytes of the operating system. */
export const systemRandom: Random = (length) => new Uint8Array(randomBytes(length))
