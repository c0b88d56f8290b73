import { createHash } from 'node:crypto'
import type { BackupStart, Grant, FilesSource } from '#shared/protocol/orders.ts'
import type { ObjectClass } from '#shared/protocol/reports.ts'
import { fail } from '#shared/errors.ts'
import type { RecipientSet } from '#shared/format/keys.ts'
import { startOf } from './control-plane-start.ts'
import { packKey, packNo, recordKey, secretKey, signerKey } from '#shared/format/layout.ts'
import { makeId } from '#shared/ids.ts'
import type { Answers, Body, RunLink, Told, Upload } from '#agent/ports.ts'

/** What the catalog knows of an object. */
type Row = {
  key: string
  size: number
  sha256: string
  state: 'granted' | 'stored'
  header: string
}

export type Committed = {
  readonly run: string
  readonly sequence: number
  readonly recordKey: string
  live: Map<number, number>
}

type Ended = Body<'commit.finish'>

/**
 * `none`: as it should be. `refuse`: 503 SlowDown. `forbid`: 403. `lost`: stored, and the answer never arrives. `void`: 200, and nothing is stored.
 * `etag`: stored, and another ETag is answered.
 */
export type PutFault = 'none' | 'refuse' | 'forbid' | 'lost' | 'void' | 'etag'

const failed = (problem: string, how: { slow?: boolean; forbidden?: boolean } = {}) => ({
  done: 'failed' as const,
  problem,
  regrant: how.forbidden ?? false,
  lasting: how.forbidden ?? false,
  slow: how.slow ?? false,
})

/** Thrown in place of an answer when the test says that the agent dies here. */
export class Died extends Error {}

/**
 * A control plane and a store in memory, as one agent sees them: it refuses what the real ones refuse. `effects` counts
 * every request and every PUT; `dieAfter` ends the agent right after that many have taken effect.
 */
export type ControlPlane = {
  readonly store: Map<string, Buffer>
  readonly rows: Map<string, Row>
  readonly commits: Committed[]
  readonly finishes: Ended[]
  readonly told: { type: Told; body: object }[]
  readonly asked: string[]
  readonly puts: string[]
  effects: number
  dieAfter: number
  genesis: string | null
  /** Packs that `commit.finish` reports as missing once, and forgets. */
  lose: Set<number>
  gone: number[]
  /** The bucket was emptied: `empty` did it, and orders say so until the first objects are written again. */
  emptied: boolean
  empty(): void
  /** Packs to be left. */
  retired: number[]
  /** What orders say. */
  gcEpoch: number
  catalogEpoch: number
  /** What the next PUTs answer instead of storing. */
  readonly faults: PutFault[]
  /** So often does `commit.finish` not find the record. */
  loseRecord: number
  /** So many looks at packs do not find them, although they are there. */
  overlook: number
  /** Gives numbers without regard to what the agent knows. */
  deaf: boolean
  /** What it does brings its catalog back to what it is now; the store stays as it is. */
  remember(): () => void
  link(order: BackupStart): RunLink
  readonly upload: Upload
  order(sources: readonly FilesSource[]): BackupStart
}

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
const hex = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)
const sha = (bytes: Uint8Array): string => base64url(createHash('sha256').update(bytes).digest())

let serial = 0
/** An id that differs each time, the same in every run of a test file. */
export const anId = <K extends string>(): ReturnType<typeof makeId<K>> => {
  serial += 1
  const random = createHash('sha256').update(`id ${serial}`).digest()
  return makeId<K>(1_790_000_000_000 + serial, random)
}

type Staged = { kind: string; of: number; pages: Map<number, (readonly [number, number])[]> }

export const createControlPlane = (
  recipients: RecipientSet,
  packBytes = 4 * 1024 * 1024,
): ControlPlane => {
  const vault = anId<'vault'>()
  const job = anId<'job'>()
  let counter = 1
  let staged: Staged | null = null
  const idOf = (kind: ObjectClass, no: number): string => `${kind} ${no}`

  const keyFor = (kind: ObjectClass, no: number, run: string): string => {
    const random = hex(`${run} ${kind} ${no} ${cp.puts.length}`)
    if (kind === 'pack' || kind === 'tree') return packKey(vault, kind, no, random)
    if (kind === 'signer') return signerKey(vault, no, random)
    if (kind === 'key') return secretKey(vault, no, random)
    return recordKey(vault, 1_790_000_000_000 + 60_000 * cp.puts.length, run)
  }
  const refusal = (kind: ObjectClass, no: number): string | null => {
    if (kind === 'record')
      return staged?.pages.size === staged?.of ? null : 'the pages are not all there'
    if (kind === 'signer' || kind === 'key')
      return cp.genesis === null || cp.emptied ? null : 'the vault is open'
    return no >= packNo(1, 1) && no < packNo(1, counter) ? null : 'its number was not given'
  }
  const grant = (order: BackupStart, wanted: Body<'grants.request'>['objects'][number]): Grant => {
    const { class: kind, no, size, sha256 } = wanted
    const id = idOf(kind, no)
    const there = cp.rows.get(id)
    const again = there !== undefined && there.sha256 === sha256 && there.size === size
    const problem =
      there !== undefined && !again && kind !== 'record'
        ? 'that number was granted for other bytes'
        : refusal(kind, no)
    if (problem !== null) throw fail('GRANT_REFUSED', { what: id, problem })
    const row: Row = again
      ? there
      : { key: keyFor(kind, no, order.run), size, sha256, state: 'granted', header: '' }
    cp.rows.set(id, row)
    const headers = { 'x-amz-content-sha256': sha256, 'content-length': String(size) }
    return { no, key: row.key, url: `memory:${row.key}`, headers, expires_at: Date.now() + 900_000 }
  }
  const stored = ({ objects }: Body<'objects.stored'>): void => {
    for (const object of objects) {
      const row = cp.rows.get(idOf(object.class, object.no))
      const body = row === undefined ? undefined : cp.store.get(row.key)
      if (row === undefined)
        throw fail('GRANT_REFUSED', {
          what: `${object.class} ${object.no}`,
          problem: 'it was never granted',
        })
      const overlooked = object.class === 'pack' && cp.overlook > 0
      if (overlooked) cp.overlook -= 1
      if (body === undefined || sha(body) !== row.sha256 || overlooked)
        throw fail('UPLOAD_FAILED', { key: row.key, problem: 'it is not in the store' })
      if (object.etag !== '' && object.etag !== etagOf(body))
        throw fail('UPLOAD_FAILED', { key: row.key, problem: 'its ETag is another one' })
      if (
        object.header !== '' &&
        !body.subarray(0, 4096).includes(Buffer.from(object.header, 'base64url'))
      )
        throw fail('PROTOCOL_VIOLATION', { problem: 'the header is not the object’s' })
      row.state = 'stored'
      row.header = object.header
    }
  }
  const page = (body: Body<'commit.page'>): void => {
    if (staged === null || body.page === 0)
      staged = { kind: body.kind, of: body.of, pages: new Map() }
    staged.pages.set(body.page, body.packs)
  }
  const liveOf = (): Map<number, number> => {
    const last = cp.commits.at(-1)
    const live = new Map(staged?.kind === 'changes' ? last?.live : [])
    for (const part of staged?.pages.values() ?? []) {
      for (const [no, bytes] of part) {
        if (bytes === 0 && !live.delete(no))
          throw fail('PROTOCOL_VIOLATION', { problem: 'a pack that was not used' })
        if (bytes > 0) live.set(no, bytes)
      }
    }
    return live
  }
  const stateOf = (no: number): Row | undefined =>
    cp.rows.get(`pack ${no}`) ?? cp.rows.get(`tree ${no}`)
  const finish = (order: BackupStart, body: Ended): object => {
    const again = cp.commits.find((commit) => commit.run === order.run)
    if (again !== undefined) return { type: 'commit.done', sequence: again.sequence, gc_epoch: 1 }
    const live = liveOf()
    const missing = [...live.keys()].filter(
      (no) => stateOf(no)?.state !== 'stored' || cp.lose.has(no),
    )
    if (missing.length > 0) {
      for (const no of missing) {
        cp.lose.delete(no)
        const row = stateOf(no)
        if (row !== undefined) {
          cp.store.delete(row.key)
          cp.rows.delete(`pack ${no}`)
          cp.rows.delete(`tree ${no}`)
        }
      }
      return { type: 'commit.missing', packs: missing }
    }
    const record = cp.rows.get(idOf('record', order.sequence))
    if (record?.state !== 'stored')
      throw fail('INVALID_STATE', { resource: 'record', status: 'missing' })
    if (cp.loseRecord > 0) {
      cp.loseRecord -= 1
      cp.store.delete(record.key)
    }
    if (!cp.store.has(record.key))
      throw fail('UPLOAD_FAILED', { key: record.key, problem: 'it is not in the store' })
    cp.commits.push({ run: order.run, sequence: order.sequence, recordKey: record.key, live })
    cp.finishes.push(body)
    staged = null
    return { type: 'commit.done', sequence: order.sequence, gc_epoch: 1 }
  }
  const openWith = (genesis: string): void => {
    if (cp.genesis !== null && cp.genesis !== genesis)
      throw fail('PROTOCOL_VIOLATION', { problem: 'the genesis is another one' })
    cp.genesis = genesis
    cp.emptied = false
  }
  const etagOf = (body: Uint8Array): string => createHash('md5').update(body).digest('hex')
  const effect = (): void => {
    cp.effects += 1
    if (cp.effects >= cp.dieAfter) throw new Died('the agent died')
  }
  const perform = (order: BackupStart, type: keyof Answers, body: object): object => {
    switch (type) {
      case 'numbers.request': {
        const { count, above = 0 } = body as Body<'numbers.request'>
        if (!cp.deaf) counter = Math.max(counter, above - packNo(1, 1) + 2)
        counter += count
        return { type: 'numbers.given', first: packNo(1, counter - count), count }
      }
      case 'grants.request':
        return {
          type: 'grants.given',
          grants: (body as Body<'grants.request'>).objects.map((wanted) => grant(order, wanted)),
        }
      case 'objects.stored':
      case 'vault.opened':
        if (type === 'objects.stored') stored(body as Body<'objects.stored'>)
        else openWith((body as Body<'vault.opened'>).genesis)
        return { type: 'objects.confirmed' }
      case 'commit.page':
        page(body as Body<'commit.page'>)
        return { type: 'commit.taken' }
      case 'commit.finish':
        return finish(order, body as Ended)
      case 'backup.ended':
        return { type: 'backup.settled' }
    }
  }
  const cp: ControlPlane = {
    store: new Map(),
    rows: new Map(),
    commits: [],
    finishes: [],
    told: [],
    asked: [],
    puts: [],
    effects: 0,
    dieAfter: Infinity,
    genesis: null,
    lose: new Set(),
    gone: [],
    emptied: false,
    empty: () => {
      cp.store.clear()
      cp.rows.clear()
      cp.emptied = true
    },
    retired: [],
    gcEpoch: 1,
    catalogEpoch: 1,
    faults: [],
    overlook: 0,
    loseRecord: 0,
    deaf: false,
    remember: () => {
      const then = { counter, rows: structuredClone([...cp.rows]), commits: [...cp.commits] }
      return () => {
        counter = then.counter
        cp.rows.clear()
        for (const [id, row] of structuredClone(then.rows)) cp.rows.set(id, row)
        cp.commits.splice(0, cp.commits.length, ...then.commits)
      }
    },
    link: (order) => ({
      request: async <T extends keyof Answers>(
        type: T,
        body: Body<T>,
        stop: AbortSignal,
      ): Promise<Answers[T]> => {
        await Promise.resolve()
        stop.throwIfAborted()
        cp.asked.push(type)
        const answer = perform(order, type, body)
        effect()
        return { id: anId(), run: order.run, ...answer } as unknown as Answers[T]
      },
      tell: <T extends Told>(type: T, body: Body<T>) => {
        cp.told.push({ type, body })
      },
    }),
    upload: async (signed, body, stop) => {
      await Promise.resolve()
      if (stop.aborted) return failed('stopped')
      const fault = cp.faults.shift()
      if (fault === 'refuse') return failed('503', { slow: true })
      if (fault === 'forbid') return failed('403 AccessDenied', { forbidden: true })
      if (fault === 'void') return { done: 'stored', etag: etagOf(body) }
      if (sha(body) !== signed.headers['x-amz-content-sha256']) return failed('400')
      if (cp.store.has(signed.key)) return { done: 'exists' }
      cp.puts.push(signed.key)
      cp.store.set(signed.key, Buffer.from(body))
      // The store has it, but the answer never arrives.
      if (fault === 'lost') return failed('ECONNRESET')
      if (fault === 'etag') return { done: 'stored', etag: '0'.repeat(32) }
      effect()
      return { done: 'stored', etag: etagOf(body) }
    },
    order: (sources) => startOf(cp, { vault, job, recipients, packBytes, anId }, sources),
  }
  return cp
}
