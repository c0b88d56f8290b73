/** The files of the agent that `up` keeps, and what an earlier start may have left of it. */
import { execFile } from 'node:child_process'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { isId } from '#shared/ids.ts'
import { SECOND } from '#shared/units.ts'

export type AgentPlace = {
  /** `agent/main.ts`. */
  readonly program: string
  /** The agent's own folder, made by it. */
  readonly state: string
  /** Its local policy, made by it when it is started for the first time. */
  readonly policy: string
  /** What the agent says goes here. */
  readonly log: string
  /** Its process id, so that one whose `up` was killed is found again. */
  readonly pid: string
  /** Its whole environment: nothing of ours that is secret. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

const LOOK = SECOND / 5
const TERMINATE = 10 * SECOND

const readIfThere = async (file: string): Promise<string | null> => {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

/** Whoever reads it meanwhile gets all of the old or all of the new. */
const replaceFile = async (file: string, text: string): Promise<void> => {
  await writeFile(`${file}.new`, text, { mode: 0o600 })
  await rename(`${file}.new`, file)
}

/** For the start after one that is killed. */
export const noteProcess = async (place: AgentPlace, pid: number): Promise<void> =>
  replaceFile(place.pid, `${pid}\n`)

type Json = Readonly<Record<string, unknown>>

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null

const readIdentity = async (place: AgentPlace): Promise<Json | null> => {
  const text = await readIfThere(join(place.state, 'agent.json'))
  const value: unknown = text === null ? null : JSON.parse(text)
  return isJson(value) ? value : null
}

/** The server id in the agent's own state, or `null` when there is no enrolled agent. */
export const enrolledAs = async (place: AgentPlace): Promise<string | null> => {
  const server = (await readIdentity(place))?.['server']
  return typeof server === 'string' && isId(server) ? server : null
}

/** Where the agent was told to connect to, as `host:port`. */
const knownHost = (identity: Json): string | null => {
  const url = identity['url']
  return typeof url === 'string' && URL.canParse(url) ? new URL(url).host : null
}

/**
 * The agent beside a control plane follows it: a start on another port (8420 was taken) would else leave it calling at
 * the old one. Answers whether anything had to change. Call it while no agent runs on this state.
 */
export const pointAgentAt = async (place: AgentPlace, url: string): Promise<void> => {
  const identity = await readIdentity(place)
  if (identity === null || (await isPointedAt(place, url))) return
  const at = new URL(String(identity['url']))
  at.host = new URL(url).host
  await replaceFile(join(place.state, 'agent.json'), JSON.stringify({ ...identity, url: at.href }))
}

const isPointedAt = async (place: AgentPlace, url: string): Promise<boolean> => {
  const identity = await readIdentity(place)
  return identity !== null && knownHost(identity) === new URL(url).host
}

const commandOf = async (pid: number): Promise<string> => {
  try {
    if (process.platform === 'linux')
      return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ')
    return (await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)])).stdout
  } catch {
    return ''
  }
}

/** A number alone proves nothing: it may be another program's by now. */
const isOurAgent = async (place: AgentPlace, pid: number): Promise<boolean> => {
  const command = await commandOf(pid)
  return command.includes(place.program) && command.includes(place.state)
}

export type LeftAgent = {
  /** Resolves when it is gone. */
  gone(stop: AbortSignal): Promise<void>
  end(): Promise<void>
}

/** The agent of a start that was killed, if it lives: it goes on with its work and is ours from now on. */
export const findLeftAgent = async (place: AgentPlace): Promise<LeftAgent | null> => {
  const pid = Number((await readIfThere(place.pid)) ?? 0)
  if (!Number.isInteger(pid) || pid <= 1 || !(await isOurAgent(place, pid))) return null
  const gone = async (stop: AbortSignal): Promise<void> => {
    while (await isOurAgent(place, pid)) await sleep(LOOK, undefined, { signal: stop })
  }
  const kill = (signal: NodeJS.Signals): void => {
    try {
      process.kill(pid, signal)
    } catch {
      // It ended in this very moment.
    }
  }
  return {
    gone,
    end: async () => {
      kill('SIGTERM')
      await gone(AbortSignal.timeout(TERMINATE)).catch(() => kill('SIGKILL'))
    },
  }
}

/** Ends what an earlier start left if it calls at another address; then the state may be changed. */
export const settleLeftAgent = async (
  place: AgentPlace,
  url: string,
): Promise<LeftAgent | null> => {
  const left = await findLeftAgent(place)
  if (left === null || (await isPointedAt(place, url))) return left
  await left.end()
  return null
}
