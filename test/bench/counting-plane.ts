/** A control plane and a store that keep numbers only, so that memory shows what the agent needs and nothing else. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { RecipientSet } from '#shared/format/keys.ts'
import { packKey, packNo, recordKey, secretKey, signerKey } from '#shared/format/layout.ts'
import type { ObjectClass } from '#shared/protocol/reports.ts'
import type { BackupStart, Grant } from '#shared/protocol/orders.ts'
import { HOUR, MiB, SECOND } from '#shared/units.ts'
import type { Answers, Body, RunLink, Upload } from '#agent/ports.ts'
import { anId } from '../support/agent-control-plane.ts'

/** What the control plane tells agents to aim at. */
const PACK_BYTES = 16 * MiB

/** Bytes a second of one upload: a store that took no time would never have the agent hold what waits for it. */
const CONNECTION = 125_000_000

export type CountingPlane = {
  readonly upload: Upload
  order(path: string): BackupStart
  link(order: BackupStart): RunLink
  readonly objects: number
  readonly bytes: number
  readonly commits: number
}

const EPOCH_MS = 1_790_000_000_000

export const createCountingPlane = (recipients: RecipientSet): CountingPlane => {
  const vault = anId<'vault'>()
  const job = anId<'job'>()
  let counter = 1
  let objects = 0
  let bytes = 0
  let commits = 0
  let record = ''
  let parent: BackupStart['parent'] = null
  const keyOf = (kind: ObjectClass, no: number, run: string): string => {
    const random = no.toString(16).padStart(32, '0').slice(-32)
    if (kind === 'pack' || kind === 'tree') return packKey(vault, kind, no, random)
    if (kind === 'signer') return signerKey(vault, no, random)
    if (kind === 'key') return secretKey(vault, no, random)
    return recordKey(vault, EPOCH_MS + 60_000 * commits, run)
  }
  const grant = (run: string, wanted: Body<'grants.request'>['objects'][number]): Grant => {
    const { class: kind, no, size, sha256 } = wanted
    if (kind === 'record') record = sha256
    const key = keyOf(kind, no, run)
    const headers = { 'x-amz-content-sha256': sha256, 'content-length': String(size) }
    return { no, key, url: `memory:${key}`, headers, expires_at: Date.now() + HOUR }
  }
  const finish = (order: BackupStart): object => {
    commits += 1
    parent = { backup: order.run, sequence: order.sequence, record_sha256: record }
    return { type: 'commit.done', sequence: order.sequence, gc_epoch: 1 }
  }
  const answer = (order: BackupStart, type: keyof Answers, body: object): object => {
    switch (type) {
      case 'numbers.request': {
        const { count } = body as Body<'numbers.request'>
        counter += count
        return { type: 'numbers.given', first: packNo(1, counter - count), count }
      }
      case 'grants.request': {
        const { objects: wanted } = body as Body<'grants.request'>
        return { type: 'grants.given', grants: wanted.map((one) => grant(order.run, one)) }
      }
      case 'objects.stored':
      case 'vault.opened':
        return { type: 'objects.confirmed' }
      case 'commit.page':
        return { type: 'commit.taken' }
      case 'commit.finish':
        return finish(order)
      case 'backup.ended':
        return { type: 'backup.settled' }
    }
  }
  return {
    get objects() {
      return objects
    },
    get bytes() {
      return bytes
    },
    get commits() {
      return commits
    },
    upload: async (_grant, { length }) => {
      await sleep(SECOND * (length / CONNECTION))
      objects += 1
      bytes += length
      return { done: 'stored', etag: '' }
    },
    link: (order) => ({
      request: async <T extends keyof Answers>(type: T, body: Body<T>, stop: AbortSignal) => {
        await Promise.resolve()
        stop.throwIfAborted()
        const said = answer(order, type, body)
        return { id: anId(), run: order.run, ...said } as unknown as Answers[T]
      },
      tell: () => undefined,
    }),
    order: (path) => ({
      type: 'backup.start',
      id: anId(),
      run: anId(),
      epoch: 1,
      lease_seconds: 60,
      job,
      job_name: 'memory',
      vault: {
        id: vault,
        is_new: commits === 0,
        recipients: {
          content: [...recipients.content],
          recovery: [...recipients.recovery],
          list: [...recipients.list],
        },
      },
      catalog_epoch: 1,
      sequence: commits + 1,
      parent,
      kept: commits === 0 ? [] : [[1, commits]],
      sources: [{ type: 'files', paths: [path] }],
      gc_epoch: 1,
      gone: [],
      pack_bytes: PACK_BYTES,
    }),
  }
}
