import { createPackWriter, type Piece } from '#shared/format/pack.ts'

/** A pack whose plaintext stays in memory. */
export type MemoryPack = {
  add(frame: Uint8Array, pieces: readonly Piece[]): number
  readonly size: number
  readonly full: boolean
  finish(): Uint8Array
}

export const createMemoryPack = (target?: number): MemoryPack => {
  const parts: Uint8Array[] = []
  const writer = createPackWriter((bytes) => void parts.push(Uint8Array.from(bytes)), target)
  return {
    add: (frame, pieces) => writer.add(frame, pieces),
    get size() {
      return writer.size
    },
    get full() {
      return writer.full
    },
    finish: () => {
      writer.finish()
      return Buffer.concat(parts)
    },
  }
}
