/** Verifications of vaults of `vault-writer.ts` that lie in memory: what the catalog would say, and a storage of any bytes. */
import { createHash } from 'node:crypto'
import { createPace } from '#server/flow/verifications/pace.ts'
import type { VerifyWork, WorkParts } from '#server/flow/verifications/turn.ts'
import { verifyObjects } from '#server/flow/verifications/verify-objects.ts'
import { verifyRestore } from '#server/flow/verifications/verify-restore.ts'
import { systemRandom } from '#server/io/random.ts'
import type { Stores, VaultStore } from '#server/ports.ts'
import type { CommittedBackup, Reading, StoredRow } from '#server/ports/reading.ts'
import type { OwnObject, StoredObjects, Verifications } from '#server/ports/verifications.ts'
import type { VerificationResult } from '#shared/api/findings.ts'
import { type Key, parseKey } from '#shared/format/layout.ts'
import type { BackupId, Id, JobId, VaultId } from '#shared/ids.ts'
import type { Clock } from '#shared/world.ts'
import type { VaultWriter, WrittenBackup } from './vault-writer.ts'

/** Objects as they lie there now. */
export type Bucket = ReadonlyMap<string, Uint8Array>

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64url')
const etagOf = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex')
const never = async (): Promise<never> => Promise.reject(new Error('nobody asks for it here'))

/** Waits for nothing: what looks damaged is looked at again at once. */
const clock: Clock = { now: () => 0, monotonic: () => 0, sleep: async () => Promise.resolve() }

const storesOn = (bucket: Bucket): Stores => {
  const store = {
    head: async (key: string) => {
      const bytes = bucket.get(key)
      return Promise.resolve(
        bytes === undefined ? null : { size: bytes.length, etag: etagOf(bytes) },
      )
    },
    get: async (key: string, range: { readonly start: number; readonly end: number }) =>
      Promise.resolve(bucket.get(key)?.subarray(range.start, range.end) ?? null),
    signGet: ({ key }: { readonly key: string }) => `memory:${key}`,
  }
  // Verifications ask for nothing else.
  return { open: async () => Promise.resolve(store as unknown as VaultStore) }
}

type Kept = readonly (readonly [key: string, bytes: Uint8Array, parsed: Key])[]

const keptOf = (objects: Bucket, kind: 'signer' | 'key'): Kept =>
  [...objects].flatMap(([key, bytes]) => {
    const parsed = parseKey(key)
    return parsed?.kind === kind ? [[key, bytes, parsed] as const] : []
  })

const rowOf = (key: string, bytes: Uint8Array): StoredRow => ({
  key,
  size: bytes.length,
  sha256: sha256(bytes),
  header: bytes,
})

const numberOf = (key: Key): number => ('no' in key ? key.no : 0)

const committedOf = (writer: VaultWriter, backup: WrittenBackup, sequence: number) => {
  const own = <Kind extends string>(): Id<Kind> => writer.vault as Id<Kind>
  const record = writer.objects.get(backup.key) ?? new Uint8Array()
  return {
    backup: backup.backup as BackupId,
    organization: own<'organization'>(),
    job: writer.job as JobId,
    server: own<'server'>(),
    vault: writer.vault as VaultId,
    storage: own<'storage'>(),
    key: own<'key'>(),
    keyType: 'managed',
    contentRecipients: [writer.identity.recipient.text],
    sequence,
    record: rowOf(backup.key, record),
    signers: keptOf(writer.objects, 'signer').map(([, bytes]) => bytes),
  } as unknown as CommittedBackup
}

const readingOf = (writer: VaultWriter, committed: CommittedBackup): Reading => ({
  committed: async () => Promise.resolve(committed),
  packs: async () => Promise.resolve([]),
  packsOf: never,
  packsAmong: never,
  identities: async () => Promise.resolve({ list: writer.list, content: writer.identity }),
  secrets: async () =>
    Promise.resolve(
      keptOf(writer.objects, 'key')
        .map(([key, bytes, parsed]) => ({ ...rowOf(key, bytes), no: numberOf(parsed) }))
        .reverse(),
    ),
  used: async () => Promise.resolve(),
})

const storedOf = (writer: VaultWriter, backup: WrittenBackup): StoredObjects => {
  const facts = (key: string, kind: OwnObject['class']): OwnObject => {
    const bytes = writer.objects.get(key) ?? new Uint8Array()
    const { size, sha256: hash } = rowOf(key, bytes)
    return { class: kind, key, size, sha256: hash, etag: etagOf(bytes) }
  }
  return {
    own: async () =>
      Promise.resolve([
        facts(backup.key, 'record'),
        ...keptOf(writer.objects, 'signer').map(([key]) => facts(key, 'signer')),
        ...keptOf(writer.objects, 'key').map(([key]) => facts(key, 'key')),
      ]),
    etags: async () => Promise.resolve(new Map()),
    users: async () => Promise.resolve({ first: [], total: 0 }),
  }
}

export type MemoryVerify = (
  level: 'full' | 'restore',
  bucket: Bucket,
) => Promise<VerificationResult>

/** `sequence`: the backup's place among those of its job, from 1. */
export const memoryVerify = (
  writer: VaultWriter,
  [backup, sequence]: readonly [WrittenBackup, number],
): MemoryVerify => {
  const committed = committedOf(writer, backup, sequence)
  const reading = readingOf(writer, committed)
  const storedObjects = storedOf(writer, backup)
  return async (level, bucket) => {
    const ended: VerificationResult[] = []
    const parts: WorkParts = {
      ...{ reading, storedObjects, stores: storesOn(bucket), clock, random: systemRandom },
      pace: createPace(clock, null),
      openRequests: { approval: never, sealedKeys: never, openerSecret: never },
      // The other steps are of those who claim.
      verifications: {
        complete: async (_: unknown, result: VerificationResult) => {
          ended.push(result)
          return Promise.resolve(true)
        },
      } as unknown as Verifications,
    }
    const work: VerifyWork = level === 'full' ? verifyObjects(parts) : verifyRestore(parts)
    const { organization, backup: id } = committed
    const job = { id: writer.vault as Id<'verification'>, organization, backup: id, level }
    await work(
      { job: { ...job, openRequest: null, checkpoint: null }, epoch: 1, attempt: 1 },
      { stop: new AbortController().signal, report: () => undefined },
    )
    const [result] = ended
    if (result === undefined) throw new Error('the verification came to no end')
    return result
  }
}
