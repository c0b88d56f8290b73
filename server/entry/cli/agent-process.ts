/** The agent that `up` keeps beside the control plane: a process of its own, exactly as on any other server. */
import { type ChildProcess, spawn } from 'node:child_process'
import { access, open, rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fail } from '#shared/errors.ts'
import { SECOND } from '#shared/units.ts'
import { type AgentPlace, noteProcess, pointAgentAt, settleLeftAgent } from './agent-place.ts'

const KILL_AFTER = 10 * SECOND
const LONGEST_PAUSE = 30 * SECOND
const STEADY = 60 * SECOND
const KEPT = 4000

type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

const endOf = async (child: ChildProcess): Promise<Ended> =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal }))
  })

/** The last of what a child says on its way to a failure. */
const lastWords = (child: ChildProcess): (() => string) => {
  let said = ''
  child.stderr?.on('data', (data: Buffer) => {
    said = (said + data.toString()).slice(-KEPT)
  })
  return () => said.trim()
}

/**
 * The agent beside us may do on this machine what its control plane asks for: one person runs both, with the same rights.
 * Whoever wants less changes the file; it is written only where there is none.
 */
const ensurePolicy = async (place: AgentPlace): Promise<void> => {
  const exists = await access(place.policy).then(
    () => true,
    () => false,
  )
  if (exists) return
  const everything = ['--allow-source', '/', '--allow-restore', '/']
  const child = spawn(
    process.execPath,
    [place.program, 'policy', '--policy', place.policy, ...everything],
    { stdio: ['ignore', 'ignore', 'pipe'], env: place.environment },
  )
  const said = lastWords(child)
  const { code } = await endOf(child)
  if (code !== 0)
    throw fail('POLICY_UNUSABLE', {
      policy: place.policy,
      problem: said() || `exit code ${code}`,
    })
}

/** The one-time token travels by standard input: arguments can be read by every user of the machine. */
export const enrollAgent = async (
  place: AgentPlace,
  with_: { readonly url: string; readonly token: string; readonly fingerprints: readonly string[] },
  stop: AbortSignal,
): Promise<void> => {
  await ensurePolicy(place)
  const confirm = with_.fingerprints.map((fingerprint) => `--confirm=${fingerprint}`)
  const child = spawn(
    process.execPath,
    [
      place.program,
      ...['enroll', '--state', place.state, '--policy', place.policy],
      ...['--url', with_.url, '--token-file', '-'],
      ...confirm,
    ],
    {
      stdio: ['pipe', 'ignore', 'pipe'],
      detached: true,
      env: place.environment,
      signal: stop,
    },
  )
  const said = lastWords(child)
  child.stdin.on('error', () => undefined) // it may end before it reads; its exit code says why
  child.stdin.end(`${with_.token}\n`)
  const { code } = await endOf(child)
  if (code !== 0) throw fail('ENROLMENT_REFUSED', { problem: said() || `exit code ${code}` })
}

export type AgentProcess = {
  /** The exit code of the last try, when the agent does not stay up. */
  lastExit(): number | null
  stop(): Promise<void>
}

const terminate = async (child: ChildProcess, ended: Promise<unknown>): Promise<void> => {
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER)
  await ended.catch(() => undefined)
  clearTimeout(late)
}

const runOnce = async (place: AgentPlace, stop: AbortSignal): Promise<number | null> => {
  const log = await open(place.log, 'a', 0o600)
  try {
    // A process group of its own: the terminal's Ctrl-C reaches us first, and we end it in our order.
    const places = ['--state', place.state, '--policy', place.policy]
    const child = spawn(process.execPath, [place.program, 'run', ...places], {
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
      env: place.environment,
    })
    const ended = endOf(child)
    if (child.pid !== undefined) await noteProcess(place, child.pid)
    const end = (): void => void terminate(child, ended)
    stop.addEventListener('abort', end, { once: true })
    try {
      const { code } = await ended
      return code
    } finally {
      stop.removeEventListener('abort', end)
    }
  } finally {
    await log.close()
  }
}

/** Waits for the agent that a killed start left, as long as it works for the control plane at `url`. */
const outlive = async (place: AgentPlace, url: string, stop: AbortSignal): Promise<void> => {
  const left = await settleLeftAgent(place, url)
  if (left === null) return
  await left.gone(stop).catch(async () => left.end())
}

/** Runs the agent until `stop` is called, and starts it again whenever it ends; slower each time it does so at once. */
export const keepAgentRunning = (place: AgentPlace, url: string): AgentProcess => {
  const stop = new AbortController()
  let last: number | null = null
  const loop = async (): Promise<void> => {
    let pause = SECOND
    // Without one it says in its log why it does not start.
    await ensurePolicy(place).catch(() => undefined)
    await outlive(place, url, stop.signal)
    if (!stop.signal.aborted) await pointAgentAt(place, url)
    while (!stop.signal.aborted) {
      const since = performance.now()
      last = await runOnce(place, stop.signal)
      pause = performance.now() - since > STEADY ? SECOND : Math.min(2 * pause, LONGEST_PAUSE)
      await sleep(pause, undefined, { signal: stop.signal }).catch(() => undefined)
    }
    await rm(place.pid, { force: true })
  }
  const done = loop()
  return {
    lastExit: () => last,
    stop: async () => {
      stop.abort()
      await done
    },
  }
}
