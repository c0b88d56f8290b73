/** A Holdfast of real processes, each of which can be killed and started again by itself. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, openDatabase } from '#server/io/db/open.ts'
import { readPidFile } from '#server/io/embedded/postgres/processes.ts'
import { agentBeside } from '../support/agent-beside.ts'
import { createFaultPlan } from '../support/fault-plan.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { freePort } from '../support/free-port.ts'
import { ended, type Instance, startInstance } from '../support/instance.ts'
import { startKillablePostgres } from '../support/killable-postgres.ts'
import { isAlive } from '../support/postgres-elsewhere.ts'
import { ACCESS_KEY, REGION, SECRET, spawnS3 } from '../support/s3-server.ts'
import type { Seeded } from '../support/seeded.ts'
import { eventually } from '../support/wait.ts'
import { isOver, look } from './kill-phase.ts'
import type { MakeSource, Source } from './kill-source.ts'

export const VICTIMS = ['agent', 'control-plane', 'database'] as const
export type Victim = (typeof VICTIMS)[number]

/** `up`: the control plane owns database, store and agent. `serve`: each is by itself, and the store answers slowly. */
export const FLAVOURS = ['serve', 'up'] as const
export type Flavour = (typeof FLAVOURS)[number]

/** What is killed and started again; `revive` does nothing where the control plane is to do it. */
type Mortal = {
  end(signal: NodeJS.Signals): Promise<void>
  revive(): Promise<void>
}

export type KillWorld = {
  readonly flavour: Flavour
  readonly instance: Instance
  readonly source: Source
  readonly job: string
  /** State folder of the agent. */
  readonly state: string
  /** The folder of the bucket. */
  readonly bucket: string
  /** Looks past the control plane. */
  readonly database: Database
  readonly victims: Readonly<Record<Victim, Mortal>>
  close(): Promise<void>
}

const BUCKET = 'holdfast'
const LONGEST_PAUSE = 200

/** Small objects, looks at them and their end take their time, so that what happens between them can be hit. */
const slowStore = async (port: number, chance: Seeded): Promise<FaultProxy> => {
  const rules = [
    { fault: 'delay', share: 1, methods: ['PUT'], path: /\/(trees|backups)\// },
    { fault: 'delay', share: 0.5, methods: ['HEAD'] },
    { fault: 'delay', share: 0.3, methods: ['GET', 'POST', 'DELETE'] },
  ] as const
  const plan = createFaultPlan(chance, rules, { longestPause: LONGEST_PAUSE })
  return startFaultProxy(`http://127.0.0.1:${port}`, plan)
}

type Data = Record<string, unknown>
const dataOf = (answer: Data): Data => answer['data'] as Data

const killProcess = async (pid: number): Promise<void> => {
  process.kill(pid, 'SIGKILL')
  await eventually(`the end of process ${pid}`, () => !isAlive(pid))
}

const controlPlane = (instance: Instance): Mortal => ({
  end: async (signal) => instance.end(signal),
  revive: async () => instance.start(),
})

const itself = async (): Promise<void> => Promise.resolve()

const startServed = async (
  folder: string,
  chance: Seeded,
  make: MakeSource,
): Promise<KillWorld> => {
  await using owned = new AsyncDisposableStack()
  const source = make(join(folder, 'source'), chance.fork('source'))
  const bucket = join(folder, 's3', BUCKET)
  mkdirSync(bucket, { recursive: true })
  const postgres = await startKillablePostgres(folder)
  owned.defer(async () => postgres.close())
  const s3 = await spawnS3(join(folder, 's3'))
  owned.defer(async () => s3.kill())
  const proxy = await slowStore(s3.port, chance.fork('store'))
  owned.defer(async () => proxy.close())
  const instance = await startInstance(folder, { databaseUrl: postgres.url })
  owned.defer(async () => instance.close())
  const database = openDatabase({ url: postgres.url }, { maxConnections: 2 })
  owned.defer(async () => database.close())
  const storage = await instance.call('POST', '/v1/storages', {
    name: 'store',
    provider: 'other',
    endpoint: proxy.url,
    region: REGION,
    bucket: BUCKET,
    access_key_id: ACCESS_KEY,
    secret_access_key: SECRET,
    path_style: true,
  })
  const guarded = await instance.protect('kill', [source.folder], {
    storage: String(dataOf(storage)['id']),
  })
  await instance.backup(guarded.jobId)
  const held = owned.move()
  return {
    flavour: 'serve',
    instance,
    source,
    job: guarded.jobId,
    state: guarded.state,
    bucket,
    database,
    victims: {
      agent: {
        end: async (signal) => {
          guarded.agent.kill(signal)
          await ended(guarded.agent)
        },
        revive: async () => {
          guarded.startAgent()
          return Promise.resolve()
        },
      },
      'control-plane': controlPlane(instance),
      database: { end: async () => postgres.kill(), revive: async () => postgres.start() },
    },
    close: async () => held.disposeAsync(),
  }
}

const startUp = async (folder: string, chance: Seeded, make: MakeSource): Promise<KillWorld> => {
  await using owned = new AsyncDisposableStack()
  const source = make(join(folder, 'source'), chance.fork('source'))
  const env = {
    HOLDFAST_PORT: String(await freePort()),
    HOLDFAST_S3_PORT: String(await freePort()),
  }
  const instance = await startInstance(folder, { paths: [source.folder], env })
  owned.defer(async () => instance.close())
  const { data } = instance
  const cluster = join(data, 'postgres', 'data')
  const { socket = '' } = (await readPidFile(cluster)) ?? {}
  const connect = { socket, user: 'holdfast', database: 'holdfast' }
  const database = openDatabase(connect, { maxConnections: 2 })
  owned.defer(async () => database.close())
  const { id, job_id: job } = await eventually('the first backup', async () => {
    const list = (await instance.call('GET', '/v1/backups'))['data'] as Data[]
    return list[0]
  })
  await eventually('its end', async () => {
    const seen = await look(database, String(id))
    return seen !== null && isOver(seen)
  })
  const held = owned.move()
  return {
    flavour: 'up',
    instance,
    source,
    job: String(job),
    state: join(data, 'agent'),
    bucket: join(data, 's3', BUCKET),
    database,
    victims: {
      agent: { end: async () => killProcess(await agentBeside(data)), revive: itself },
      'control-plane': controlPlane(instance),
      database: {
        end: async () => killProcess((await readPidFile(cluster))?.pid ?? 0),
        revive: itself,
      },
    },
    close: async () => held.disposeAsync(),
  }
}

/** With one backup of the job. */
export const startWorld = async (
  flavour: Flavour,
  folder: string,
  [chance, make]: readonly [Seeded, MakeSource],
): Promise<KillWorld> =>
  flavour === 'up' ? startUp(folder, chance, make) : startServed(folder, chance, make)
