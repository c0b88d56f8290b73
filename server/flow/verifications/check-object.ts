/**
 * One object against what was signed for and confirmed. What the storage fails to do is waited for and tried again, so that
 * it is never taken for damage; what looks damaged is looked at twice.
 */
import { createHash } from 'node:crypto'
import { fail, Failure } from '#shared/errors.ts'
import { MiB, type Ms, SECOND } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import { isVaultFault } from '../../core/backup-file.ts'
import type { VaultStore } from '../../ports.ts'
import { patiently, type WaitOut } from '../read-backup.ts'
import type { Pace } from './pace.ts'

export type Expected = {
  readonly key: string
  readonly size: number
  /** base64url */
  readonly sha256: string
  /** As it was confirmed; null: not known. */
  readonly etag: string | null
}

export type Looking = {
  readonly store: VaultStore
  readonly clock: Clock
  readonly stop: AbortSignal
  readonly waitOut: WaitOut
  readonly pace: Pace
}

const CHUNK = 4 * MiB
/** Before the second look. */
const BREATH: Ms = SECOND / 4

const damaged = (key: string, problem: string): Error =>
  fail('DAMAGED', { what: `The object ${key}`, problem })

/** It is there, as long as it was and with the ETag that it had. */
const head = async (
  { store, stop, waitOut }: Looking,
  { key, size, etag }: Expected,
): Promise<void> => {
  const found = await patiently(waitOut, async () => store.head(key, stop))
  if (found === null) throw fail('MISSING_OBJECT', { key })
  if (found.size !== size) throw damaged(key, `it has ${found.size} bytes in place of ${size}`)
  if (etag !== null && found.etag !== etag)
    throw damaged(key, 'its ETag is not the one that was confirmed: other bytes lie there')
}

/** All of its bytes, piece by piece; and not one more. */
const read = async (looking: Looking, expected: Expected): Promise<void> => {
  const { store, stop, waitOut, pace } = looking
  const { key, size, sha256 } = expected
  await head(looking, { ...expected, etag: null })
  const hash = createHash('sha256')
  for (let start = 0; start < size; start += CHUNK) {
    const end = Math.min(size, start + CHUNK)
    await pace(end - start, stop)
    const bytes = await patiently(waitOut, async () => store.get(key, { start, end }, stop))
    if (bytes === null) throw fail('MISSING_OBJECT', { key })
    hash.update(bytes)
  }
  if (hash.digest('base64url') !== sha256)
    throw damaged(key, 'its SHA-256 is not the one that was signed for')
}

/** Null, or what is wrong with it. Throws where the storage cannot be reached. */
export const checkObject = async (
  looking: Looking,
  expected: Expected,
  how: 'head' | 'read',
): Promise<Failure | null> => {
  const look = how === 'head' ? head : read
  const attempt = async (): Promise<Failure | null> => {
    try {
      await look(looking, expected)
      return null
    } catch (error) {
      if (!(error instanceof Failure) || !isVaultFault(error)) throw error
      return error
    }
  }
  if ((await attempt()) === null) return null
  await looking.clock.sleep(BREATH, looking.stop)
  return attempt()
}
