/** What the agent is told from outside: the only reader of the environment. Flags of a command win over it. */
import { availableParallelism } from 'node:os'
import { fail } from '#shared/errors.ts'
import { LEVELS, type Level } from './core/log-level.ts'

export type Config = {
  /** Folder of the agent's own files. */
  readonly state: string
  readonly logLevel: Level
  /** One-time token, where it was given that way. */
  readonly token: string | null
  readonly threads: number
}

const MOST_THREADS = 64

const threadsOf = (text: string | undefined): number => {
  // Beyond eight the memory that each takes costs more than it brings, unless somebody asks for it.
  if (text === undefined) return Math.min(8, availableParallelism())
  const threads = Number(text)
  if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS)
    throw fail('VALIDATION_FAILED', {
      field: 'HOLDFAST_THREADS',
      problem: `must be a number from 1 to ${String(MOST_THREADS)}`,
    })
  return threads
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
  })
}
