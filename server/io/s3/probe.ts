/** What a storage can do, found out by doing it: write, read back, a range, overwrite, delete. */
import { fail } from '#shared/errors.ts'
import { downloadKey } from '#shared/format/layout.ts'
import type { Random } from '#shared/world.ts'
import type { S3Store } from './store.ts'

export type Capabilities = {
  /** A second PUT with `If-None-Match: *` was refused. */
  readonly conditional_put: boolean
  readonly clock_skew_ms: number
}

const BODY = Buffer.from('holdfast looks at what this storage can do\n', 'utf8')

/** Leaves nothing behind. `STORAGE_UNAVAILABLE` naming what did not work. */
export const probe = async (
  name: string,
  store: S3Store,
  [random, stop]: readonly [Random, AbortSignal],
): Promise<Capabilities> => {
  const refuse = (verb: string, problem: string): Error =>
    fail('STORAGE_UNAVAILABLE', { storage: name, verb, problem })
  const key = downloadKey(Buffer.from(random(16)).toString('hex'))
  const first = await store.put(key, BODY, { ifAbsent: false }, stop)
  if (first === 'exists') throw refuse('put', 'a fresh name exists already')
  try {
    const found = await store.head(key, stop)
    if (found?.size !== BODY.length) throw refuse('head', 'it does not show what was written')
    const range = await store.get(key, { start: 9, end: 14 }, stop)
    if (range === null || !BODY.subarray(9, 14).equals(range))
      throw refuse('get', 'a range gives other bytes')
    return {
      conditional_put: await store.refusesOverwrite(key, BODY, stop),
      clock_skew_ms: store.skew(),
    }
  } finally {
    await store.remove([key], stop)
  }
}
