/** The `holdfast` program: the only file that sees both sides of ports.ts. It wires; it decides nothing. */
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fail } from '#shared/errors.ts'
import { parseUtf8 } from '#shared/format/bytes.ts'
import type { RecoveryKit } from '#shared/format/recovery-kit.ts'
import { makeId } from '#shared/ids.ts'
import { reveal } from '#shared/secret.ts'
import type { Log } from '#shared/world.ts'
import { agentEnvironment, type Config, type Flags, placesIn, readConfig } from './config.ts'
import { agentGate, type AgentGate } from './entry/agents.ts'
import { type Dispatcher, startDispatcher } from './entry/dispatcher.ts'
import { askLine } from './entry/cli/ask.ts'
import type { DeskParts } from './entry/cli/desk.ts'
import { openVault, runReader } from './entry/cli/open.ts'
import type { Plane } from './entry/cli/plane.ts'
import { type Actions, runProgram } from './entry/cli/program.ts'
import { recoverCommand } from './entry/cli/recover.ts'
import { startReader } from './entry/cli/recover-reader.ts'
import { type Served, serve } from './entry/cli/serve.ts'
import { up } from './entry/cli/up.ts'
import { startOwnWork } from './entry/own-work.ts'
import { type App, buildApp, type Routes } from './entry/http/app.ts'
import { listenOn } from './entry/http/listen.ts'
import { apiRoutes } from './entry/http/routes.ts'
import { type AgentParts, DEFAULT_TIMING } from './flow/agent-parts.ts'
import { type Bootstrapped, bootstrap } from './flow/bootstrap.ts'
import { PATIENCE } from './flow/change-storage.ts'
import { createFollowing } from './flow/follow.ts'
import { prepareVault } from './flow/prepare-vault.ts'
import { recover } from './flow/recover/recover.ts'
import { createReadiness } from './flow/readiness.ts'
import { createDetails } from './flow/reading/backup-detail.ts'
import { createBrowsing } from './flow/reading/browse-backup.ts'
import { agentPortsOn } from './io/agent-ports.ts'
import { type Base, openBase } from './io/base.ts'
import { systemClock } from './io/clock.ts'
import { newsIn } from './io/db/following.ts'
import { ping } from './io/db/ping.ts'
import { tryLock } from './io/embedded/postgres/lock.ts'
import { BUCKET } from './io/embedded/s3-endpoint.ts'
import { type LocalStorage, settleLocalStorage, startLocalStorage } from './io/embedded/storage.ts'
import { makeLog } from './io/log.ts'
import { ensureLocalToken, readLocalToken, writeLocalToken } from './io/local-token.ts'
import { openGround } from './io/recovery-ground.ts'
import { createPrivate, makeFolder } from './io/private-file.ts'
import { systemRandom } from './io/random.ts'
import { announce, readRunning } from './io/running-file.ts'
import type { PrepareVault } from './ports.ts'
import type { StorageTests } from './ports/storage-tests.ts'

const VERSION = '0.1.0'
const LAUNCHER = fileURLToPath(new URL('../deploy/bin/holdfast.js', import.meta.url))
const AGENT = fileURLToPath(new URL('../agent/main.ts', import.meta.url))

type Deliver = (kit: RecoveryKit) => Promise<void>

type Held = { readonly owned: AsyncDisposableStack; readonly stop: AbortSignal }

const requestId = (): string => makeId<'message'>(systemClock.now(), systemRandom(10))

type Serving = {
  readonly base: Base
  readonly log: Log
  readonly instance: string
  readonly owned: AsyncDisposableStack
  readonly verifyRate: Config['verifyRate']
}

type AgentSide = {
  readonly parts: AgentParts
  readonly gate: AgentGate
  readonly dispatcher: Dispatcher
  readonly storageTests: StorageTests
}

/** The loops that give runs to agents, and the gate where agents come in. */
const startAgentSide = async ({ base, log, owned }: Serving): Promise<AgentSide> => {
  const ports = agentPortsOn(base)
  owned.defer(() => ports.stores.close())
  const parts = { ...ports, log, clock: systemClock, random: systemRandom, timing: DEFAULT_TIMING }
  const dispatcher = await startDispatcher(parts)
  owned.defer(async () => dispatcher.close())
  return {
    parts,
    dispatcher,
    gate: agentGate(parts, () => dispatcher.wake()),
    storageTests: ports.stores.tests,
  }
}

const routesOf = async (
  { base, instance, log, owned, verifyRate }: Serving,
  { parts, dispatcher, gate, storageTests }: AgentSide,
  publicUrl: () => string,
): Promise<Routes[]> => {
  const { resources, database } = base
  const prepare: PrepareVault = async (caller, of) => prepareVault(parts, caller.organization, of)
  const { reading, openRequests, restores, stores } = parts
  const browsing = createBrowsing({ reading, stores })
  const world = { clock: systemClock, random: systemRandom, log }
  const wakeWorker = (): void => worker.wake()
  const own = { ...resources, ...browsing, ...world, openRequests, wakeWorker, verifyRate }
  const worker = startOwnWork(own)
  owned.defer(async () => worker.close())
  const following = await createFollowing({ news: newsIn(database.sql), clock: systemClock, log })
  owned.defer(async () => following.close())
  const checkDatabase = async (): Promise<void> => ping(database.db)
  const readiness = createReadiness({ ...resources, ...world, stores, checkDatabase })
  const routes = apiRoutes({
    ...resources,
    ...{ reading, openRequests, restores, stores, wakeWorker },
    clock: systemClock,
    random: systemRandom,
    agents: parts,
    storageTests,
    patience: PATIENCE,
    publicUrl,
    wakeDispatcher: () => dispatcher.wake(),
    prepareVault: prepare,
    health: { instance, version: VERSION, readiness },
    browsing,
    details: createDetails(browsing, { clock: systemClock, log }),
    following,
    ...{ downloading: own, verifying: own },
  })
  return [...routes, gate.routes]
}

/** The API on its port; what it started is on `owned`. */
const startHttp = async (config: Config, given: Omit<Serving, 'verifyRate'>): Promise<string> => {
  const serving = { ...given, verifyRate: config.verifyRate }
  const { base, log, owned } = serving
  let url = ''
  const agents = await startAgentSide(serving)
  const app: App = await buildApp(
    {
      tokens: base.resources.tokens,
      log,
      requestsPerMinute: config.requestsPerMinute,
      trustProxy: config.trustedProxies,
      makeRequestId: requestId,
      once: { idempotency: base.resources.idempotency, clock: systemClock, log },
    },
    await routesOf(serving, agents, () => config.publicUrl ?? url),
  )
  owned.defer(async () => app.close())
  const port = await listenOn(app, { host: config.host, ...config.http })
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  url = `http://${host}:${port}`
  return url
}

const firstStart = async (
  base: Base,
  storage: LocalStorage | null,
  deliver: Deliver,
): Promise<Bootstrapped | null> =>
  bootstrap(
    { firstStart: base.resources.firstStart, clock: systemClock, random: systemRandom },
    { storage: storage?.input ?? null, deliver },
  )

const never = async <T>(): Promise<T> => new Promise<T>(() => undefined)

/** `up`: with the storage in the data folder, the local token and the note where it runs. */
const startLocal = async (
  config: Config,
  log: Log,
  { deliver, owned, stop }: Held & { readonly deliver: Deliver },
): Promise<Omit<Plane, 'stop'>> => {
  const places = placesIn(config.data)
  const base = await openBase(config, log, { owned, stop })
  const storage = await startLocalStorage(config, base, log)
  owned.defer(async () => storage.endpoint.thread.close())
  const made = await firstStart(base, storage, deliver)
  if (made !== null) await writeLocalToken(places.token, made.token)
  const token = await ensureLocalToken(base, places.token)
  const caller = await base.resources.tokens.find(token)
  if (caller === null) throw fail('UNAUTHENTICATED')
  await settleLocalStorage(config, base, { ...storage, caller, added: made?.storage ?? null })
  const instance = requestId()
  const url = await startHttp(config, { base, log, instance, owned })
  const running = { url, pid: process.pid, instance }
  owned.use(await announce(places.running, running))
  const s3Ended = storage.endpoint.thread.ended.then(async (why) => why ?? never<Error>())
  return {
    ...running,
    token,
    own: true,
    broken: Promise.race([base.broken, s3Ended]),
  }
}

/** `null` when another process has the data folder. What was started is stopped again if the rest fails. */
const tryStartLocal = async (
  config: Config,
  log: Log,
  { deliver, stop }: { readonly deliver: Deliver; readonly stop: AbortSignal },
): Promise<Plane | null> => {
  const places = placesIn(config.data)
  await makeFolder(config.data)
  const release = tryLock(places.lock)
  if (release === null) return null
  await using started = new AsyncDisposableStack()
  started.defer(release)
  const plane = await startLocal(config, log, { deliver, stop, owned: started })
  const owned = started.move()
  return { ...plane, stop: async () => owned.disposeAsync() }
}

const exists = async (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  )

const runUp: Actions['up'] = async (flags: Flags, options) => {
  const config = readConfig(flags)
  const places = placesIn(config.data)
  const log = makeLog({ level: config.logLevel ?? 'warn' })
  return up(
    {
      start: async (deliver, stop) => tryStartLocal(config, log, { deliver, stop }),
      readRunning: async () => readRunning(places.running),
      readToken: async () => readLocalToken(places.token),
      agent: {
        program: AGENT,
        state: places.agent,
        policy: places.agentPolicy,
        log: join(config.data, 'agent.log'),
        pid: join(config.data, 'agent.pid'),
        environment: agentEnvironment(),
      },
      tokenFile: places.token,
      launcher: LAUNCHER,
      bucket: join(places.s3, BUCKET),
      createPrivate,
      hasAgent: async () => exists(join(places.agent, 'agent.json')),
    },
    options,
  )
}

const startServed = async (
  config: Config,
  log: Log,
  { deliver, stop }: { readonly deliver: Deliver; readonly stop: AbortSignal },
): Promise<Served> => {
  await using started = new AsyncDisposableStack()
  const base = await openBase(config, log, { owned: started, stop })
  const made = await firstStart(base, null, deliver)
  if (made !== null) await writeLocalToken(placesIn(config.data).token, made.token)
  const url = await startHttp(config, {
    base,
    log,
    instance: requestId(),
    owned: started,
  })
  const owned = started.move()
  return { url, broken: base.broken, stop: async () => owned.disposeAsync() }
}

const runServe: Actions['serve'] = async (flags, kit) => {
  const config = readConfig(flags)
  if (config.databaseUrl === null)
    throw fail('WRONG_USE', { problem: '"serve" needs DATABASE_URL; "up" brings its own database' })
  const log = makeLog({ level: config.logLevel ?? 'info' })
  return serve(
    { start: async (deliver, stop) => startServed(config, log, { deliver, stop }), createPrivate },
    { kit },
  )
}

const runRecover: Actions['recover'] = async (flags) => {
  const config = readConfig(flags)
  const log = makeLog({ level: config.logLevel ?? 'error' })
  return recoverCommand(
    {
      startReader: () => startReader(AGENT),
      readText: desk.readText,
      ask: askLine,
      recover: async ({ from, kit, reader }, told, stop) => {
        await using owned = new AsyncDisposableStack()
        const ground = await openGround(config, log, [from, kit, { owned, stop }])
        const world = { clock: systemClock, random: systemRandom, log }
        return await recover({ ...ground, ...world, reader }, ground, [told, stop])
      },
    },
    flags,
  )
}

/** Where commands find their control plane: the environment, else one that runs on the data folder. */
const desk: DeskParts = {
  known: (flags) => {
    const config = readConfig(flags)
    const places = placesIn(config.data)
    const token = config.token === null ? null : parseUtf8(reveal(config.token))
    return {
      url: config.publicUrl,
      token,
      readRunning: async () => readRunning(places.running),
      readToken: async () => readLocalToken(places.token),
    }
  },
  readText: async (file) => readFile(file, 'utf8'),
  reader: async (args, input) => runReader(AGENT, args, input),
  random: systemRandom,
  now: () => systemClock.now(),
  ask: askLine,
}

const code = await runProgram(
  {
    up: runUp,
    serve: runServe,
    open: async (args) => openVault(AGENT, args),
    recover: runRecover,
    desk,
    version: VERSION,
  },
  process.argv.slice(2),
)
process.exitCode = code
