/** Bytes that are likely to be wanted again soon, up to a number of them in all. */
export type Shelf = {
  get(id: string): Uint8Array | undefined
  put(id: string, bytes: Uint8Array): void
}

export const createShelf = (most: number): Shelf => {
  const held = new Map<string, Uint8Array>()
  let total = 0
  return {
    get: (id) => {
      const bytes = held.get(id)
      if (bytes === undefined) return undefined
      held.delete(id)
      held.set(id, bytes)
      return bytes
    },
    put: (id, bytes) => {
      if (held.has(id) || bytes.length > most) return
      held.set(id, bytes)
      total += bytes.length
      for (const [oldest, { length }] of held) {
        if (total <= most) return
        held.delete(oldest)
        total -= length
      }
    },
  }
}
