/** Memory of one thread for what it reads, used again: fresh pages cost as much time as what is put into them. */
import { MiB } from '#shared/units.ts'
import { release } from '#shared/format/bytes.ts'

export type ReadMemory = {
  /** At least `length` bytes, until they are given to `done`. */
  take(length: number): Uint8Array
  done(bytes: Uint8Array): void
}

/** Kept at most, besides what is in use. */
const KEPT = 2

export const createReadMemory = (): ReadMemory => {
  const idle: Uint8Array[] = []
  return {
    take: (length) => {
      const at = idle.findIndex((one) => one.length >= length)
      const [known] = at < 0 ? [] : idle.splice(at, 1)
      return known ?? Buffer.allocUnsafeSlow(Math.max(1, Math.ceil(length / MiB)) * MiB)
    },
    done: (bytes) => {
      idle.push(bytes)
      // The largest ones are of most use.
      idle.sort((a, b) => b.length - a.length)
      for (const one of idle.splice(KEPT)) release(one)
    },
  }
}
