/** A map that holds the `most` entries used last. */
export type Recent<V> = {
  get(key: string | number): V | undefined
  set(key: string | number, value: V): void
  delete(key: string | number): void
}

export const createRecent = <V>(most: number): Recent<V> => {
  const held = new Map<string | number, V>()
  return {
    get: (key) => {
      const value = held.get(key)
      if (value === undefined) return undefined
      held.delete(key)
      held.set(key, value)
      return value
    },
    set: (key, value) => {
      held.delete(key)
      held.set(key, value)
      if (held.size <= most) return
      for (const oldest of held.keys()) {
        held.delete(oldest)
        return
      }
    },
    delete: (key) => {
      held.delete(key)
    },
  }
}
