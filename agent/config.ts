/** What the agent is told from outside: the only reader of the environment. Flags of a command win over it. */
import { availableParallelism } from 'node:os'
import { fail } from '#shared/errors.ts'
import { SECOND } from '#shared/units.ts'
import { LEVELS, type Level } from './core/log-level.ts'
import { type Patience, patienceOf } from './core/patience.ts'

export type Config = {
  /** Folder of the agent's own files. */
  readonly state: string
  readonly logLevel: Level
  /** One-time token, where it was given that way. */
  readonly token: string | null
  readonly threads: number
  readonly patience: Patience
  /** File of the local policy. */
  readonly policy: string
}

const MOST_THREADS = 64

const wholeOf = (name: string, text: string, most: number): number => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < 1 || value > most)
    throw fail('VALIDATION_FAILED', {
      field: name,
      problem: `must be a number from 1 to ${String(most)}`,
    })
  return value
}

const MOST_SECONDS = 1_000_000

const seconds = (name: string): number | undefined => {
  const text = process.env[name]
  return text === undefined ? undefined : wholeOf(name, text, MOST_SECONDS) * SECOND
}

const threadsOf = (text: string | undefined): number => {
  // Beyond eight the memory that each takes costs more than it brings, unless somebody asks for it.
  if (text === undefined) return Math.min(8, availableParallelism())
  return wholeOf('HOLDFAST_THREADS', text, MOST_THREADS)
}

const levelOf = (text: string | undefined): Level => {
  const level = LEVELS.find((one) => one === (text ?? 'info'))
  if (level === undefined)
    throw fail('VALIDATION_FAILED', {
      field: 'HOLDFAST_LOG_LEVEL',
      problem: `must be one of ${LEVELS.join(', ')}`,
    })
  return level
}

export const readConfig = (): Config => {
  const { env } = process
  return Object.freeze({
    state: env['HOLDFAST_AGENT_STATE'] ?? '/var/lib/holdfast-agent',
    logLevel: levelOf(env['HOLDFAST_LOG_LEVEL']),
    token: env['HOLDFAST_ENROLMENT_TOKEN'] ?? null,
    threads: threadsOf(env['HOLDFAST_THREADS']),
    policy: env['HOLDFAST_POLICY'] ?? '/etc/holdfast/policy.json',
    patience: patienceOf(seconds('HOLDFAST_PATIENCE'), seconds('HOLDFAST_UPLOAD_IDLE')),
  })
}
