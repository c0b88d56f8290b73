/** `holdfast-agent status`: who this agent is, whether it runs and is connected, what it does, and what it may. */
import { fail, problemOf } from '#shared/errors.ts'
import { FORMAT } from '#shared/format/version.ts'
import { PROTOCOL } from '#shared/protocol/version.ts'
import { cutOff, type Outcomes, readOutcomes } from '../../core/outcomes.ts'
import type { Policy } from '../../core/policy.ts'
import { type Identity, readParentFile } from '../../core/state.ts'
import { readStatus, type StatusNow } from '../../core/status.ts'
import { loadIdentity } from '../../flow/enroll.ts'
import type { StateFolder } from '../../ports.ts'
import type { StatusAnswer } from '../../ports/status.ts'
import { OUTCOMES } from '../watch.ts'
import type { Places } from './run.ts'
import { readFlags } from './flags.ts'

const USAGE = 'holdfast-agent status [--state FOLDER] [--policy FILE] [--json]'

/** Connected; no agent runs; one runs without a connection, or does not answer. */
export const STATUS_EXIT = { connected: 0, absent: 5, away: 6 } as const

export type StatusOptions = Places & { readonly json: boolean }

export const statusOptions = (args: readonly string[], usual: Places): StatusOptions => {
  const rest = args.filter((arg) => arg !== '--json')
  const flags = readFlags(rest, ['state', 'policy'], USAGE)
  return {
    state: flags.one('state') ?? usual.state,
    policy: flags.one('policy') ?? usual.policy,
    json: rest.length < args.length,
  }
}

export type StatusParts = {
  readonly state: StateFolder
  readonly folder: string
  /** Of the program that shows this. */
  readonly version: string
  /** What the agent that runs says. */
  readonly ask: () => Promise<StatusAnswer>
  /** Whether a process holds the state folder, whatever it is. */
  readonly isHeld: () => Promise<boolean>
  /** Throws where the policy cannot be used. */
  readonly policy: () => Policy
}

export type JobNow = Outcomes[number] & {
  /** The newest backup that can be the parent of the next one. */
  readonly committed: { readonly backup: string; readonly sequence: number } | null
}

export type Status = {
  readonly version: string
  readonly protocol: typeof PROTOCOL
  readonly format: number
  readonly identity: Identity
  /** `silent`: something holds the state folder and does not answer. */
  readonly agent: 'answers' | 'silent' | 'absent'
  readonly now: StatusNow | null
  readonly jobs: readonly JobNow[]
  readonly policy: Policy | { readonly unusable: string }
}

const askAgent = async (parts: StatusParts): Promise<Pick<Status, 'agent' | 'now'>> => {
  const answer = await parts.ask()
  const now = answer.at === 'answered' ? readStatus(answer.text) : null
  if (now !== null) return { agent: 'answers', now }
  const isThere = answer.at !== 'absent' || (await parts.isHeld())
  return { agent: isThere ? 'silent' : 'absent', now: null }
}

const committedIn = (state: StateFolder, job: string): JobNow['committed'] => {
  const bytes = state.read(`jobs/${job}/parent.json`)
  if (bytes === null) return null
  const { backup, sequence } = readParentFile(bytes)
  return { backup, sequence }
}

/** What was under way when the agent died is cut off; while it may still run, it goes on. */
const jobsOf = (state: StateFolder, isAbsent: boolean): readonly JobNow[] => {
  const written = readOutcomes(state.read(OUTCOMES))
  const outcomes = isAbsent ? cutOff(written) : written
  const known = new Set(outcomes.map(({ job }) => job))
  const others = state
    .list('jobs')
    .filter((job) => !known.has(job))
    .map((job) => ({ job, name: job, begun: null, last: null }))
  return [...outcomes, ...others].map((one) => ({ ...one, committed: committedIn(state, one.job) }))
}

const policyOf = ({ policy }: StatusParts): Status['policy'] => {
  try {
    return policy()
  } catch (error) {
    return { unusable: problemOf(error) }
  }
}

/** Needs no control plane. `NOT_ENROLLED` where there is no agent. */
export const readStatusOf = async (parts: StatusParts): Promise<Status> => {
  const { state, folder, version } = parts
  const identity = loadIdentity(state)
  if (identity?.server === undefined || identity.server === null)
    throw fail('NOT_ENROLLED', { state: folder })
  const asked = await askAgent(parts)
  return {
    version,
    protocol: PROTOCOL,
    format: FORMAT,
    identity,
    ...asked,
    jobs: jobsOf(state, asked.agent === 'absent'),
    policy: policyOf(parts),
  }
}

export const exitOf = ({ agent, now }: Status): number => {
  if (agent === 'absent') return STATUS_EXIT.absent
  return now?.connection.connected === true ? STATUS_EXIT.connected : STATUS_EXIT.away
}
