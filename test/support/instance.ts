/** A whole Holdfast on this machine for tests and benchmarks: control plane and agent as real processes, driven by its API. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'

const root = fileURLToPath(new URL('../..', import.meta.url))
const READY_MS = 60_000
const POLL_MS = 20
/** So often would the API otherwise refuse whoever asks every few milliseconds whether a backup is over. */
const UNLIMITED = { HOLDFAST_RATE_LIMIT: '1000000' }

export type InstanceOptions = {
  /** `serve` on this database instead of `up`: there is no storage then but those that are added. */
  readonly databaseUrl?: string
  /** What `up` is to back up, with the agent that it keeps. */
  readonly paths?: readonly string[]
  /** More of the environment of the control plane. */
  readonly env?: Readonly<Record<string, string>>
}

export type ProtectOptions = {
  /** The oldest ones, if left out. */
  readonly storage?: string
  readonly key?: string
  /** Where the agent finds the control plane, if not at its own address. */
  readonly url?: string
  /** More of the environment of the agent. */
  readonly env?: Readonly<Record<string, string>>
  /** What its local policy names; everything, if left out. */
  readonly allow?: { readonly sources: readonly string[]; readonly restores: readonly string[] }
  /** Program and arguments that start the agent, with its own behind them. */
  readonly by?: readonly string[]
}

export type Protected = {
  /** The process that runs now. */
  readonly agent: ChildProcess
  /** Runs the agent again, after it has ended. */
  startAgent(): void
  readonly serverId: string
  readonly jobId: string
  /** State folder of the agent. */
  readonly state: string
  /** Its local policy. */
  readonly policy: string
}

export type Instance = {
  readonly url: string
  readonly token: string
  readonly data: string
  readonly kit: string
  /** The process that runs now. */
  readonly controlPlane: ChildProcess
  /** The last that it wrote to its standard error. */
  said(): string
  call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Record<string, unknown>>
  /** A new server with an agent process that is enrolled and runs; the job backs up `paths` of it. */
  protect(name: string, paths: readonly string[], options?: ProtectOptions): Promise<Protected>
  /** An agent with the files that it has, enrolled as a server that this control plane knows; its job is there. */
  enrolAgain(of: Pick<Protected, 'serverId' | 'jobId' | 'state' | 'policy'>): Promise<Protected>
  /** Starts a backup and waits for its end. */
  backup(jobId: string): Promise<Record<string, unknown>>
  /** Ends the control plane alone, with this signal. */
  end(signal: NodeJS.Signals): Promise<void>
  /** Starts it again, at the same address and without paths; resolves when it is ready. */
  start(): Promise<void>
  close(): Promise<void>
}

export const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null

export const ended = async (child: ChildProcess): Promise<number | null> => {
  if (hasEnded(child)) return child.exitCode
  return new Promise((resolve) => child.once('exit', resolve))
}

type Start = {
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly input?: 'pipe'
  readonly output?: 'pipe'
  readonly by?: readonly string[] | undefined
}

const program = (path: string, { args, env, input, output, by = [] }: Start): ChildProcess => {
  const own = ['--disable-warning=ExperimentalWarning', join(root, path), ...args]
  const [command = process.execPath, ...rest] = [...by, process.execPath, ...own]
  return spawn(command, rest, {
    stdio: [input ?? 'ignore', output ?? 'ignore', 'pipe'],
    env: { ...process.env, ...UNLIMITED, ...env },
  })
}

const keep = (stream: Readable | null): (() => string) => {
  let text = ''
  stream?.on('data', (data: Buffer) => (text = (text + data.toString()).slice(-8000)))
  return () => text
}

const until = async <T>(what: string, look: () => Promise<T | null>): Promise<T> => {
  const deadline = performance.now() + READY_MS
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (performance.now() > deadline) throw new Error(`${what} did not happen in ${READY_MS} ms`)
    await sleep(POLL_MS)
  }
}

const FINAL = ['completed', 'partial', 'failed', 'canceled']

type Json = Record<string, unknown>

const dataOf = (answer: Json): Json => answer['data'] as Json

const caller =
  (url: string, token: string): Instance['call'] =>
  async (method, path, body) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer = (await response.json()) as Json
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`)
    return answer
  }

const OLDEST = '?sort=created_at'

const firstId = (answer: Json): string => {
  const [first] = answer['data'] as Json[]
  if (first === undefined) throw new Error('an empty list where the first start makes one')
  return String(first['id'])
}

type Place = { readonly data: string; readonly kit: string }

/** `serve` writes no note of where it is: it says so. */
const startProcess = (
  { data, kit }: Place,
  { databaseUrl, env, paths = [] }: InstanceOptions,
): { child: ChildProcess; address: () => string | null } => {
  const args = ['--data', data, '--kit', kit]
  if (databaseUrl !== undefined) {
    const child = program('server/main.ts', {
      args: ['serve', ...args],
      env: { HOLDFAST_PORT: '0', ...env, DATABASE_URL: databaseUrl },
      output: 'pipe',
    })
    const said = keep(child.stdout)
    return { child, address: () => /runs at (http:\S+)\n/.exec(said())?.[1] ?? null }
  }
  const place = join(data, 'control-plane.json')
  const child = program('server/main.ts', { args: ['up', ...args, ...paths], env })
  const read = (): string => (JSON.parse(readFileSync(place, 'utf8')) as { url: string }).url
  return { child, address: () => (existsSync(place) ? read() : null) }
}

type Started = {
  readonly child: ChildProcess
  readonly url: string
  readonly token: string
  readonly said: () => string
}

const startControlPlane = async (place: Place, options: InstanceOptions): Promise<Started> => {
  const { data } = place
  const { child, address } = startProcess(place, options)
  const said = keep(child.stderr)
  return until('the start of the control plane', async () => {
    if (hasEnded(child)) throw new Error(`the control plane ended: ${said()}`)
    if (!existsSync(join(data, 'token'))) return null
    try {
      const url = address()
      if (url === null) return null
      const ready = await fetch(`${url}/readyz`)
      if (!ready.ok) return null
      return { child, url, said, token: readFileSync(join(data, 'token'), 'utf8').trim() }
    } catch {
      return null
    }
  })
}

type Enrolment = { token: string; vaults: { fingerprint: string }[] }

type Enrolling = {
  readonly url: string
  readonly places: readonly string[]
  readonly env: ProtectOptions['env']
  readonly allow: ProtectOptions['allow']
}

const EVERYTHING = { sources: ['/'], restores: ['/'] }

const enroll = async (
  { url, places, env, allow = EVERYTHING }: Enrolling,
  enrolment: Enrolment,
): Promise<void> => {
  const fingerprint = enrolment.vaults[0]?.fingerprint ?? ''
  const where = ['--url', url, ...places]
  const allowed = [
    ...allow.sources.flatMap((path) => ['--allow-source', path]),
    ...allow.restores.flatMap((path) => ['--allow-restore', path]),
  ]
  const args = ['enroll', ...where, ...allowed, '--token-file', '-', `--confirm=${fingerprint}`]
  const child = program('agent/main.ts', { args, env, input: 'pipe' })
  const errors = keep(child.stderr)
  child.stdin?.end(`${enrolment.token}\n`)
  const code = await ended(child)
  if (code !== 0) throw new Error(`the enrolment ended with ${String(code)}: ${errors()}`)
}

type Enrolled = Pick<Protected, 'serverId' | 'state' | 'policy'> & {
  readonly storage: string
  readonly key: string
}

export const startInstance = async (
  folder: string,
  options: InstanceOptions = {},
): Promise<Instance> => {
  const data = join(folder, 'data')
  const kit = join(folder, 'kit.txt')
  const place = { data, kit }
  const first = await startControlPlane(place, options)
  const { url, token } = first
  const call = caller(url, token)
  const running = { controlPlane: first, agents: new Set<{ child: ChildProcess }>() }
  const stop = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
    if (!hasEnded(child)) child.kill(signal)
    await ended(child)
  }
  const enrol = async (
    { serverId, storage, key, state, policy }: Enrolled,
    { env, allow, by, ...chosen }: ProtectOptions,
    job: () => Promise<string>,
  ): Promise<Protected> => {
    const enrolment = dataOf(
      await call('POST', `/v1/servers/${serverId}/enrollment-tokens`, {
        vaults: [{ storage_id: storage, encryption_key_id: key }],
      }),
    ) as unknown as Enrolment
    const places = ['--state', state, '--policy', policy]
    await enroll({ url: chosen.url ?? url, places, env, allow }, enrolment)
    const run = (): ChildProcess => {
      const child = program('agent/main.ts', { args: ['run', ...places], env, by })
      child.stderr?.resume()
      return child
    }
    const agent = { child: run() }
    running.agents.add(agent)
    const jobId = await job()
    await until('the connection of the agent', async () => {
      const seen = dataOf(await call('GET', `/v1/servers/${serverId}`))
      return seen['status'] === 'online' ? true : null
    })
    return {
      get agent() {
        return agent.child
      },
      startAgent: () => {
        agent.child = run()
      },
      serverId,
      state,
      policy,
      jobId,
    }
  }
  return {
    url,
    token,
    data,
    kit,
    get controlPlane() {
      return running.controlPlane.child
    },
    said: () => running.controlPlane.said(),
    call,
    async protect(name, paths, chosen = {}) {
      const storage = chosen.storage ?? firstId(await call('GET', `/v1/storages${OLDEST}`))
      const key = chosen.key ?? firstId(await call('GET', `/v1/encryption-keys${OLDEST}`))
      const server = dataOf(await call('POST', '/v1/servers', { name, type: 'agent' }))
      const serverId = String(server['id'])
      const sources = [{ type: 'files', paths }]
      const of = { server_id: serverId, storage_id: storage, encryption_key_id: key }
      const job = async (): Promise<string> =>
        String(dataOf(await call('POST', '/v1/jobs', { name, ...of, sources }))['id'])
      const state = join(folder, `agent-${name}`)
      const policy = join(folder, `policy-${name}.json`)
      const at = { serverId, storage, key, state, policy }
      return enrol(at, chosen, job)
    },
    enrolAgain: async ({ serverId, jobId, state, policy }) => {
      const job = dataOf(await call('GET', `/v1/jobs/${jobId}`))
      const [storage, key] = [String(job['storage_id']), String(job['encryption_key_id'])]
      return enrol({ serverId, storage, key, state, policy }, {}, async () =>
        Promise.resolve(jobId),
      )
    },
    async backup(jobId) {
      const began = performance.now()
      const started = dataOf(await call('POST', `/v1/jobs/${jobId}/backups`, {}))
      for (;;) {
        const now = dataOf(await call('GET', `/v1/backups/${String(started['id'])}`))
        if (FINAL.includes(String(now['status']))) return now
        // Ever more seldom, so that looking does not become the work that is measured.
        await sleep(Math.max(POLL_MS, (performance.now() - began) / 50))
      }
    },
    async end(signal) {
      await stop(running.controlPlane.child, signal)
    },
    async start() {
      const env = { ...options.env, HOLDFAST_PORT: new URL(url).port }
      const again = await startControlPlane(place, { ...options, env, paths: [] })
      running.controlPlane = again
    },
    async close() {
      await Promise.all([...running.agents].map(async ({ child }) => stop(child, 'SIGTERM')))
      await stop(running.controlPlane.child, 'SIGTERM')
    },
  }
}
