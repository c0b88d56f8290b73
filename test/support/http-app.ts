/** The API over a real PostgreSQL, without a socket: what the contract tests of the routes talk to. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StorageInput } from '#shared/api/storages.ts'
import type { RecoveryKit } from '#shared/format/recovery-kit.ts'
import { secret } from '#shared/secret.ts'
import type { Clock, Log } from '#shared/world.ts'
import { type App, buildApp } from '#server/entry/http/app.ts'
import { startOwnWork } from '#server/entry/own-work.ts'
import { apiRoutes } from '#server/entry/http/routes.ts'
import { DEFAULT_TIMING } from '#server/flow/agent-parts.ts'
import { bootstrap } from '#server/flow/bootstrap.ts'
import { PATIENCE } from '#server/flow/change-storage.ts'
import { createFollowing } from '#server/flow/follow.ts'
import { prepareVault } from '#server/flow/prepare-vault.ts'
import { createDetails } from '#server/flow/reading/backup-detail.ts'
import { createReadiness } from '#server/flow/readiness.ts'
import { createBrowsing } from '#server/flow/reading/browse-backup.ts'
import { type AgentPorts, agentPortsOn } from '#server/io/agent-ports.ts'
import { systemClock } from '#server/io/clock.ts'
import { newsIn } from '#server/io/db/following.ts'
import { migrate } from '#server/io/db/migrate.ts'
import { type Database, openDatabase } from '#server/io/db/open.ts'
import { ping } from '#server/io/db/ping.ts'
import { type Resources, resourcesIn } from '#server/io/db/resources.ts'
import { vaultSealing } from '#server/io/db/vaults/sealing.ts'
import { vaultsIn } from '#server/io/db/vaults/vaults.ts'
import { type Postgres, startPostgres } from '#server/io/embedded/postgres/start.ts'
import { systemRandom } from '#server/io/random.ts'
import { type Sealing, sealing } from '#server/io/secrets.ts'
import type { PrepareVault, Stores } from '#server/ports.ts'
import { checkAnswers } from './answer-check.ts'
import type { Answer } from './answers.ts'

export const quiet: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

export type TestDatabase = {
  readonly postgres: Postgres
  readonly database: Database
  readonly folder: string
  close(): Promise<void>
}

/** A PostgreSQL of its own with a migrated database. */
export const startTestDatabase = async (): Promise<TestDatabase> => {
  const folder = await mkdtemp(join(tmpdir(), 'hf-http-'))
  const settings = { folder: join(folder, 'pg'), log: quiet, clock: systemClock }
  const postgres = await startPostgres(settings, new AbortController().signal)
  const database = openDatabase(postgres.connect)
  await migrate(database.db, quiet)
  return {
    postgres,
    database,
    folder,
    close: async () => {
      await database.close()
      await postgres.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export const EMBEDDED = {
  name: 'local',
  provider: 'embedded',
  endpoint: 'http://127.0.0.1:8421',
  region: 'us-east-1',
  bucket: 'holdfast',
  access_key_id: 'access-key-canary',
  secret_access_key: 'secret-key-canary-31415926',
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export type TestApp = {
  readonly app: App
  readonly resources: Resources
  readonly sealing: Sealing
  readonly stores: Stores
  /** What stands behind the connections of agents; none is connected. */
  readonly agents: AgentPorts
  /** Method and path of everything that is served. */
  readonly routes: readonly (readonly [method: string, path: string])[]
  readonly token: string
  readonly kit: RecoveryKit
  readonly woken: () => number
  /** An answer with its status. `body` is sent as JSON; a string as it is. */
  call(
    method: Method,
    url: string,
    options?: {
      readonly body?: unknown
      readonly token?: string | null
      readonly headers?: Readonly<Record<string, string>>
    },
  ): Promise<Answer>
}

const vaultMaker = (database: Database, seal: Sealing): PrepareVault => {
  const vaults = vaultsIn(database.db, vaultSealing(seal))
  const parts = { vaults, clock: systemClock, random: systemRandom }
  return async (caller, of) => prepareVault(parts, caller.organization, of)
}

/** The app of an organization that was just made. `requestsPerMinute` is far above what a test needs. */
export const startTestApp = async (
  { database }: Pick<TestDatabase, 'database'>,
  options: {
    readonly requestsPerMinute?: number
    readonly storage?: StorageInput
    readonly patience?: typeof PATIENCE
    /** By which answers about readiness are kept. */
    readonly readinessClock?: Clock
  } = {},
): Promise<TestApp> => {
  const seal = sealing(secret(systemRandom(32)), systemRandom)
  const world = { sealing: seal, clock: systemClock, random: systemRandom }
  const resources = resourcesIn(database.db, world)
  const made = await bootstrap(
    { firstStart: resources.firstStart, clock: systemClock, random: systemRandom },
    {
      storage: options.storage ?? EMBEDDED,
      deliver: async () => Promise.resolve(),
    },
  )
  if (made === null) throw new Error('the database has an organization already')
  let woken = 0
  const agents = agentPortsOn({ database, sealing: seal })
  const { reading, openRequests, restores, stores } = agents
  const browsing = createBrowsing({ reading, stores })
  const news = newsIn(database.sql)
  const wakeWorker = (): void => worker.wake()
  const more = { log: quiet, openRequests, wakeWorker, verifyRate: null }
  const own = { ...resources, ...browsing, ...world, ...more }
  const worker = startOwnWork(own)
  const parts = {
    ...resources,
    ...{ reading, openRequests, restores, stores, wakeWorker },
    clock: systemClock,
    random: systemRandom,
    agents: { ...agents, ...world, log: quiet, timing: DEFAULT_TIMING },
    storageTests: stores.tests,
    patience: options.patience ?? PATIENCE,
    wakeDispatcher: () => {
      woken += 1
    },
    publicUrl: () => 'http://127.0.0.1:8420',
    prepareVault: vaultMaker(database, seal),
    health: {
      instance: 'test',
      version: '0.0.0',
      readiness: createReadiness({
        ...{ ...resources, ...world, stores, log: quiet },
        clock: options.readinessClock ?? systemClock,
        checkDatabase: async () => ping(database.db),
      }),
    },
    browsing,
    details: createDetails(browsing, { clock: systemClock, log: quiet }),
    ...{ downloading: own, verifying: own },
    following: await createFollowing({ news, clock: systemClock, log: quiet }),
  }
  const routes: (readonly [string, string])[] = []
  const app = await buildApp(
    {
      tokens: resources.tokens,
      log: quiet,
      requestsPerMinute: options.requestsPerMinute ?? 1_000_000,
      makeRequestId: () => 'made-request-id',
      once: { idempotency: resources.idempotency, clock: systemClock, log: quiet },
    },
    [
      (added) => {
        added.addHook('onRoute', ({ method, url }) => {
          for (const one of [method].flat()) if (one !== 'HEAD') routes.push([one, url])
        })
      },
      checkAnswers,
      ...apiRoutes(parts),
      (added) => {
        added.addHook('onClose', async () => {
          await worker.close()
          stores.close()
          return Promise.resolve()
        })
      },
    ],
  )
  return {
    app,
    resources,
    sealing: seal,
    stores,
    agents,
    routes,
    token: made.token,
    kit: made.kit,
    woken: () => woken,
    call: async (method, url, { body, token = made.token, headers = {} } = {}) => {
      const response = await app.inject({
        method,
        url,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined
          ? {}
          : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      return {
        status: response.statusCode,
        body: response.body === '' ? {} : response.json<Answer['body']>(),
        headers: response.headers,
      }
    },
  }
}
