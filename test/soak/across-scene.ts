/** A world in which everything happens at once, what was done in it, and what must therefore be there. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { hasCode } from '#shared/errors.ts'
import { HOUR, MINUTE, type Ms, SECOND } from '#shared/units.ts'
import { advanceClock, CLOCK } from '../support/moved-clock.ts'
import type { Fact } from '../support/same-tree.ts'
import { eventually } from '../support/wait.ts'
import { type VaultView, viewVault } from './kill-vault.ts'
import type { KillWorld } from './kill-world.ts'

/** A committed backup, as whoever asked for it knows it. */
export type Known = {
  readonly backup: string
  /** What its source was. */
  readonly facts: ReadonlyMap<string, Fact>
  /** When it was deleted, by the clock of the database; null: it is kept. */
  deletedAt: Ms | null
}

/** A restore by the agent, to a folder of its own. */
export type Restoring = { readonly id: string; readonly of: Known; readonly target: string }

export type AcrossScene = {
  readonly world: KillWorld
  readonly vault: VaultView
  readonly folder: string
  /** Of one server, on the same files, in one vault. */
  readonly jobs: readonly string[]
  readonly server: string
  readonly storage: string
  readonly known: Known[]
  /** Runs that were looked at after their end. */
  readonly seen: Set<string>
}

/** Longer than every grace period. */
export const GRACE_OVER: Ms = 73 * HOUR
/** Longer than every claim of the control plane's own work. */
export const CLAIMS_OVER: Ms = 31 * SECOND

type Data = Readonly<Record<string, unknown>>
export type Answer = {
  readonly status: number
  readonly code: string
  readonly details: Data
  readonly data: Data
}

const PATIENCE = MINUTE

const isData = (value: unknown): value is Data => typeof value === 'object' && value !== null

const once = async (
  { instance }: KillWorld,
  [method, path, body]: readonly [string, string, Data?],
  key: string,
): Promise<Answer | null> => {
  const response = await fetch(`${instance.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${instance.token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(method === 'POST' ? { 'idempotency-key': key } : {}),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(PATIENCE),
  }).catch(() => null)
  if (response === null || response.status === 503) return null
  const text = await response.text().catch(() => null)
  if (text === null) return null
  const json: unknown = text === '' ? {} : JSON.parse(text)
  const { data, error } = isData(json) ? json : {}
  return {
    status: response.status,
    code: isData(error) ? String(error['code']) : '',
    details: isData(error) && isData(error['details']) ? error['details'] : {},
    data: isData(data) ? data : {},
  }
}

/** Asks again, as the same request, until somebody answers: the control plane may die over it. */
export const ask = async (
  { world }: Pick<AcrossScene, 'world'>,
  ...request: readonly [string, string, Data?]
): Promise<Answer> => {
  const key = randomUUID()
  return eventually(
    `an answer to ${request[0]} ${request[1]}`,
    async () => {
      const answer = await once(world, request, key)
      if (answer !== null && !isHeldKey(answer)) return answer
      await sleep(20)
      return null
    },
    PATIENCE,
  )
}

/** The request that died with the control plane has its key for a while. */
const isHeldKey = ({ details }: Answer): boolean => details['resource'] === 'Idempotency-Key'

/** The database may be the one that is dead. */
const patiently = async <T>(work: () => Promise<T>): Promise<T> => {
  const found = await eventually('the database answers', async () => {
    try {
      return { value: await work() }
    } catch (error) {
      if (hasCode(error, 'DATABASE_UNAVAILABLE')) return null
      throw error
    }
  })
  return found.value
}

export const now = async ({ world }: Pick<AcrossScene, 'world'>): Promise<Ms> =>
  patiently(async () => {
    const { rows } = await sql<{ at: Date }>`select hf_now() as at`.execute(world.database.db)
    return rows[0]?.at.getTime() ?? 0
  })

export const pass = async ({ world }: Pick<AcrossScene, 'world'>, ms: Ms): Promise<void> =>
  patiently(async () => advanceClock(world.database.db, ms))

/** Runs, verifications and collections that are not over. */
const underWay = async ({ world }: Pick<AcrossScene, 'world'>): Promise<readonly string[]> => {
  const { rows } = await sql<{ what: string }>`
    select 'backup ' || id || ' ' || status as what from backups where status in ('pending', 'running')
    union all
    select 'restore ' || id || ' ' || status from restores where status in ('pending', 'running')
    union all
    select 'verification ' || id || ' ' || status from verifications where status in ('pending', 'running')
    union all
    select 'collection ' || id || ' ' || status from collections where asked_at is not null or status = 'working'`.execute(
    world.database.db,
  )
  return rows.map(({ what }) => what)
}

/** Names what is not over where it never is. */
export const quiet = async (scene: Pick<AcrossScene, 'world'>): Promise<readonly string[]> => {
  let left: readonly string[] = []
  const look = async (): Promise<boolean> => {
    left = await patiently(async () => underWay(scene))
    if (left.length > 0) await sleep(10)
    return left.length === 0
  }
  await eventually('everything is over', look, 1.5 * MINUTE).catch(() => undefined)
  return left.map((what) => `${what} does not end`)
}

export const collect = async (scene: AcrossScene): Promise<void> => {
  await ask(scene, 'POST', `/v1/storages/${scene.storage}/gc`, {})
}

const dataOf = (answer: Data): Data => answer['data'] as Data

/** A clock that can be moved, and a second job on the same files. */
export const openAcross = async (world: KillWorld, folder: string): Promise<AcrossScene> => {
  await sql.raw(CLOCK).execute(world.database.db)
  const { instance, job, source } = world
  const first = dataOf(await instance.call('GET', `/v1/jobs/${job}`))
  const { server_id, storage_id, encryption_key_id } = first
  const second = await instance.call('POST', '/v1/jobs', {
    name: 'the same again',
    ...{ server_id, storage_id, encryption_key_id },
    sources: [{ type: 'files', paths: [source.folder] }],
  })
  return {
    world,
    vault: viewVault(world),
    folder,
    jobs: [job, String(dataOf(second)['id'])],
    server: String(server_id),
    storage: String(storage_id),
    known: [],
    seen: new Set(),
  }
}

export const keptOf = ({ known }: Pick<AcrossScene, 'known'>): readonly Known[] =>
  known.filter(({ deletedAt }) => deletedAt === null)
