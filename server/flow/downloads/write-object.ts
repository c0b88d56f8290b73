/**
 * One prepared object: whatever comes, encrypted with age as it comes, in parts to the storage. Nothing of it is there
 * before its end, and never more than two parts of it are in memory.
 */
import { createSealer, encodePreamble, FILE_KEY, NONCE, payloadKey } from '#shared/format/age.ts'
import { parseRecipient } from '#shared/format/keys.ts'
import { MiB } from '#shared/units.ts'
import type { Clock, Random } from '#shared/world.ts'
import type { VaultStore } from '../../ports.ts'
import type { Upload } from '../../ports/uploads.ts'

export type WriteParts = {
  readonly store: Pick<VaultStore, 'put' | 'upload'>
  readonly random: Random
  readonly clock: Clock
}

export type WriteWish = {
  readonly key: string
  /** Recipients in the text form of age. */
  readonly recipients: readonly string[]
  /** At least as many bytes as will come, so that the parts are large enough. */
  readonly bound: number
}

/** Stores take at most 10,000 parts; what is encoded may be longer than what it encodes. */
const PARTS = 9000
const LEAST_PART = 8 * MiB
/** Largest object: 9,000 parts of this are 562 GiB. */
const MOST_PART = 64 * MiB
export const MOST_BYTES = PARTS * MOST_PART

const partSize = (bound: number): number => {
  const least = Math.ceil(bound / PARTS / MiB) * MiB
  return Math.min(MOST_PART, Math.max(LEAST_PART, least))
}

/** Header and payload of one age file; everything that it is sealed with is fresh. */
const sealingFor = (
  random: Random,
  recipients: readonly string[],
): { readonly preamble: Uint8Array; readonly sealer: ReturnType<typeof createSealer> } => {
  const [fileKey, nonce] = [random(FILE_KEY), random(NONCE)]
  const preamble = encodePreamble({
    fileKey,
    nonce,
    recipients: recipients.map(parseRecipient),
    ephemerals: recipients.map(() => random(32)),
  })
  return { preamble, sealer: createSealer(payloadKey(fileKey, nonce)) }
}

async function* sealed(
  random: Random,
  recipients: readonly string[],
  plain: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const { preamble, sealer } = sealingFor(random, recipients)
  yield preamble
  for await (const bytes of plain) yield* sealer.push(bytes)
  yield* sealer.end()
}

/** Parts of exactly this size, but for the last, which may be empty only if nothing came. Each is a buffer of its own. */
async function* partsOf(
  bytes: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<{ readonly body: Uint8Array; readonly last: boolean }, void, void> {
  let held: Uint8Array[] = []
  let room = size
  for await (const chunk of bytes) {
    for (let from = 0; from < chunk.length;) {
      // A full part goes out when a byte follows it: it might be the last.
      if (room === 0) {
        yield { body: Buffer.concat(held), last: false }
        held = []
        room = size
      }
      const take = chunk.subarray(from, from + room)
      held.push(take)
      room -= take.length
      from += take.length
    }
  }
  yield { body: Buffer.concat(held), last: true }
}

/** A few more seconds for what has to be taken back after the work was stopped. */
const PARTING_MS = 10_000

const giveUp = async ({ clock }: WriteParts, upload: Upload | null): Promise<void> => {
  if (upload === null) return
  const end = new AbortController()
  const late = clock.sleep(PARTING_MS, end.signal).then(
    () => end.abort(),
    () => undefined,
  )
  // What cannot be taken back now is found by its name later.
  await upload.abort(end.signal).catch(() => undefined)
  end.abort()
  await late
}

/** Bytes of the object. The next part is filled while one is on its way. */
export const writeObject = async (
  parts: WriteParts,
  { key, recipients, bound }: WriteWish,
  [plain, stop]: readonly [AsyncIterable<Uint8Array>, AbortSignal],
): Promise<number> => {
  const { store, random } = parts
  let upload: Upload | null = null
  let sending: Promise<void> = Promise.resolve()
  let [size, no] = [0, 0]
  try {
    for await (const { body, last } of partsOf(
      sealed(random, recipients, plain),
      partSize(bound),
    )) {
      stop.throwIfAborted()
      size += body.length
      no += 1
      if (last && no === 1) {
        await store.put(key, body, { ifAbsent: true }, stop)
        return size
      }
      await sending
      upload ??= await store.upload(key, stop)
      sending = upload.part(no, body, stop)
      // Its failure is heard when the next part is ready.
      sending.catch(() => undefined)
    }
    await sending
    await upload?.complete(stop)
    return size
  } catch (error) {
    await sending.catch(() => undefined)
    await giveUp(parts, upload)
    throw error
  }
}
