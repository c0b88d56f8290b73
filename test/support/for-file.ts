import { afterAll, beforeAll } from 'vitest'

/**
 * Stands for what is there only later: each use of it is one of `find()` at that moment. For what tests use; a copy made
 * by spreading it has nothing in it.
 */
export const later = <T extends object>(find: () => T): T =>
  new Proxy({} as T, {
    get: (_, key) => {
      const it = find()
      const value: unknown = Reflect.get(it, key, it)
      const isMethod = typeof value === 'function' && !Object.hasOwn(it, key)
      return isMethod ? (value.bind(it) as unknown) : value
    },
    has: (_, key) => Reflect.has(find(), key),
  })

/** Started before the tests of the file, or of the `describe` around it, and closed after them in the reverse order. */
export const forFile = <T extends object>(
  start: () => Promise<T>,
  close: (it: T) => Promise<unknown>,
): T => {
  let started: T | undefined
  beforeAll(async () => {
    started = await start()
  })
  afterAll(async () => {
    if (started !== undefined) await close(started)
  })
  return later(() => {
    if (started === undefined) throw new Error('used before the tests began')
    return started
  })
}
