/** Runs work on one key strictly one after the other. */
export type KeyLock = <T>(key: string, work: () => Promise<T>) => Promise<T>

export const keyLock = (): KeyLock => {
  const last = new Map<string, Promise<unknown>>()
  return async (key, work) => {
    const before = last.get(key) ?? Promise.resolve()
    const mine = before.then(work, work)
    last.set(key, mine)
    try {
      return await mine
    } finally {
      if (last.get(key) === mine) last.delete(key)
    }
  }
}

/** Runs at most so much work at once; the rest waits in order. */
export type Limiter = <T>(work: () => Promise<T>) => Promise<T>

export const limiter = (atOnce: number): Limiter => {
  let free = atOnce
  const waiting: (() => void)[] = []
  return async (work) => {
    if (free > 0) free -= 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    }
  }
}

/** Applies `work` to every item, at most `atOnce` at a time; results in the items' order. */
export const mapLimited = async <T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> => {
  const limited = limiter(atOnce)
  return Promise.all(items.map(async (item) => limited(async () => work(item))))
}

/** Remembers so many entries, and forgets the one set or asked for longest ago. */
export type Memory<T> = {
  get(key: string): T | undefined
  set(key: string, value: T): void
  delete(key: string): void
}

export const memory = <T>(limit: number): Memory<T> => {
  const entries = new Map<string, T>()
  const set = (key: string, value: T): void => {
    // A Map keeps the order of insertion, so the first one is the oldest.
    entries.delete(key)
    entries.set(key, value)
    if (entries.size <= limit) return
    for (const oldest of entries.keys()) {
      entries.delete(oldest)
      return
    }
  }
  return {
    get: (key) => {
      const value = entries.get(key)
      if (value !== undefined) set(key, value)
      return value
    },
    set,
    delete: (key) => void entries.delete(key),
  }
}
