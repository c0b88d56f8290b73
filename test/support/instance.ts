/** A whole Holdfast on this machine for tests and benchmarks: control plane and agent as real processes, driven by its API. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'

const root = fileURLToPath(new URL('../..', import.meta.url))
const READY_MS = 60_000
const POLL_MS = 20
/** So often would the API otherwise refuse whoever asks every few milliseconds whether a backup is over. */
const UNLIMITED = { HOLDFAST_RATE_LIMIT: '1000000' }

export type Instance = {
  readonly url: string
  readonly token: string
  readonly data: string
  readonly kit: string
  readonly controlPlane: ChildProcess
  call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Record<string, unknown>>
  /** A new server with an agent process that is enrolled and runs; the job backs up `paths` of it. */
  protect(name: string, paths: readonly string[]): Promise<{ agent: ChildProcess; jobId: string }>
  /** Starts a backup and waits for its end. */
  backup(jobId: string): Promise<Record<string, unknown>>
  close(): Promise<void>
}

export const ended = async (child: ChildProcess): Promise<number | null> => {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  return new Promise((resolve) => child.once('exit', resolve))
}

const program = (path: string, args: readonly string[], input: 'pipe' | 'ignore'): ChildProcess =>
  spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, path), ...args], {
    stdio: [input, 'ignore', 'pipe'],
    env: { ...process.env, ...UNLIMITED },
  })

const keepErrors = (child: ChildProcess): (() => string) => {
  let text = ''
  child.stderr?.on('data', (data: Buffer) => (text = (text + data.toString()).slice(-8000)))
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

const firstId = (answer: Json): string => {
  const [first] = answer['data'] as Json[]
  if (first === undefined) throw new Error('an empty list where the first start makes one')
  return String(first['id'])
}

const startControlPlane = async (
  data: string,
  kit: string,
): Promise<{ child: ChildProcess; url: string; token: string }> => {
  const child = program('server/main.ts', ['up', '--data', data, '--kit', kit], 'ignore')
  const errors = keepErrors(child)
  const place = join(data, 'control-plane.json')
  return until('the start of the control plane', async () => {
    if (child.exitCode !== null) throw new Error(`the control plane ended: ${errors()}`)
    if (!existsSync(place) || !existsSync(join(data, 'token'))) return null
    try {
      const { url } = JSON.parse(readFileSync(place, 'utf8')) as { url: string }
      const ready = await fetch(`${url}/readyz`)
      if (!ready.ok) return null
      return { child, url, token: readFileSync(join(data, 'token'), 'utf8').trim() }
    } catch {
      return null
    }
  })
}

type Enrolment = { token: string; vaults: { fingerprint: string }[] }

const enroll = async (url: string, state: string, enrolment: Enrolment): Promise<void> => {
  const fingerprint = enrolment.vaults[0]?.fingerprint ?? ''
  const child = program(
    'agent/main.ts',
    ['enroll', '--url', url, '--state', state, '--token-file', '-', `--confirm=${fingerprint}`],
    'pipe',
  )
  const errors = keepErrors(child)
  child.stdin?.end(`${enrolment.token}\n`)
  const code = await ended(child)
  if (code !== 0) throw new Error(`the enrolment ended with ${String(code)}: ${errors()}`)
}

export const startInstance = async (folder: string): Promise<Instance> => {
  const data = join(folder, 'data')
  const kit = join(folder, 'kit.txt')
  const { child, url, token } = await startControlPlane(data, kit)
  const call = caller(url, token)
  const agents: ChildProcess[] = []
  return {
    url,
    token,
    data,
    kit,
    controlPlane: child,
    call,
    async protect(name, paths) {
      const storage = firstId(await call('GET', '/v1/storages'))
      const key = firstId(await call('GET', '/v1/encryption-keys'))
      const server = dataOf(await call('POST', '/v1/servers', { name, type: 'agent' }))
      const serverId = String(server['id'])
      const enrolment = dataOf(
        await call('POST', `/v1/servers/${serverId}/enrollment-tokens`, {
          vaults: [{ storage_id: storage, encryption_key_id: key }],
        }),
      ) as unknown as Enrolment
      const state = join(folder, `agent-${name}`)
      await enroll(url, state, enrolment)
      const agent = program('agent/main.ts', ['run', '--state', state], 'ignore')
      agent.stderr?.resume()
      agents.push(agent)
      const job = dataOf(
        await call('POST', '/v1/jobs', {
          name,
          server_id: serverId,
          storage_id: storage,
          encryption_key_id: key,
          sources: [{ type: 'files', paths }],
        }),
      )
      await until('the connection of the agent', async () => {
        const seen = dataOf(await call('GET', `/v1/servers/${serverId}`))
        return seen['status'] === 'online' ? true : null
      })
      return { agent, jobId: String(job['id']) }
    },
    async backup(jobId) {
      const started = dataOf(await call('POST', `/v1/jobs/${jobId}/backups`, {}))
      for (;;) {
        const now = dataOf(await call('GET', `/v1/backups/${String(started['id'])}`))
        if (FINAL.includes(String(now['status']))) return now
        await sleep(POLL_MS)
      }
    },
    async close() {
      for (const agent of agents) agent.kill('SIGTERM')
      await Promise.all(agents.map(ended))
      child.kill('SIGTERM')
      await ended(child)
    },
  }
}
