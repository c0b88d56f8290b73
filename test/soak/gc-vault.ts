/** What an agent keeps of a vault, in small: blobs in packs, by the orders of a real control plane. */
import { packsToLeave } from '#agent/core/retiring.ts'
import { preambleLength, seal } from '#shared/format/age.ts'
import { parseRecipient } from '#shared/format/keys.ts'
import type { BackupId, JobId } from '#shared/ids.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { systemRandom } from '#server/io/random.ts'
import { base64url, must, type TestObject, upload } from '../support/agent-plane.ts'
import { type Bench, finishOf, runOf, stage, writeRecord } from '../support/commit-bench.ts'
import { startOpen } from '../support/direct-agent.ts'
import type { Seeded } from '../support/seeded.ts'

export const BLOBS = 2000
export const BLOB_BYTES = 1024
/** Blobs of a full pack. */
const PER_PACK = 100

/** The pack of each blob as the newest backup has it; null: to be written. */
export type Model = {
  readonly at: (number | null)[]
  /** Live bytes by pack of the last committed backup, the tree included. */
  uses: ReadonlyMap<number, number>
}

export const newModel = (): Model => ({
  at: Array.from({ length: BLOBS }, () => null),
  uses: new Map(),
})

const packOf = (
  kind: 'pack' | 'tree',
  no: number,
  [bytes, recipients]: readonly [number, readonly string[]],
): TestObject => {
  const sealed = seal({
    plaintext: systemRandom(bytes),
    fileKey: systemRandom(16),
    nonce: systemRandom(16),
    recipients: recipients.map(parseRecipient),
    ephemerals: recipients.map(() => systemRandom(32)),
  })
  return {
    class: kind,
    no,
    bytes: sealed,
    header: base64url(sealed.subarray(0, preambleLength(sealed))),
  }
}

/** Blobs in packs that are gone or to be left are written again, as an agent reads their files again. */
const forget = ({ at, uses }: Model, start: BackupStart): void => {
  const left = packsToLeave(start.retired ?? [], { content: [...uses], structure: [] })
  const absent = new Set([...start.gone, ...left])
  for (const [blob, pack] of at.entries()) if (pack !== null && absent.has(pack)) at[blob] = null
}

const writePacks = async (
  { agent }: Pick<Bench, 'agent'>,
  start: BackupStart,
  model: Model,
): Promise<Map<number, number>> => {
  const fresh = [...model.at.keys()].filter((blob) => model.at[blob] === null)
  const count = Math.ceil(fresh.length / PER_PACK)
  const { first } = must(
    await agent.ask({ type: 'numbers.request', ...runOf(start), count: count + 1 }),
    'numbers.given',
  )
  const { content, recovery, list } = start.vault.recipients
  const readers = [...content, ...recovery]
  for (let pack = 0; pack < count; pack += 1) {
    const blobs = fresh.slice(pack * PER_PACK, (pack + 1) * PER_PACK)
    for (const blob of blobs) model.at[blob] = first + pack
    await upload(agent, runOf(start), [
      packOf('pack', first + pack, [blobs.length * BLOB_BYTES, readers]),
    ])
  }
  await upload(agent, runOf(start), [
    packOf('tree', first + count, [BLOB_BYTES, [...readers, ...list]]),
  ])
  const uses = new Map([[first + count, BLOB_BYTES]])
  for (const pack of model.at) if (pack !== null) uses.set(pack, (uses.get(pack) ?? 0) + BLOB_BYTES)
  return uses
}

const changesOf = (
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
): readonly (readonly [number, number])[] => [
  ...[...after].filter(([pack, bytes]) => before.get(pack) !== bytes),
  ...[...before.keys()].filter((pack) => !after.has(pack)).map((pack) => [pack, 0] as const),
]

/** One backup with `changed` blobs at random new; commits it. */
export const backUp = async (
  bench: Bench,
  [job, model]: readonly [JobId, Model],
  { chance, changed }: { readonly chance: Seeded; readonly changed: number },
): Promise<BackupId> => {
  const start = await startOpen(bench.parts, bench.world, bench.agent, job)
  for (let n = 0; n < changed; n += 1) model.at[chance.below(BLOBS)] = null
  forget(model, start)
  const uses = await writePacks(bench, start, model)
  const isFirst = model.uses.size === 0
  await stage(bench.agent, start, [
    isFirst ? 'whole' : 'changes',
    isFirst ? [...uses] : changesOf(model.uses, uses),
  ])
  await writeRecord(bench.agent, start)
  must(await bench.agent.ask(finishOf(start)), 'commit.done')
  model.uses = uses
  return start.run as BackupId
}
