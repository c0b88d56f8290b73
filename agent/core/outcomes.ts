/** outcomes.json: how the last backup of each job ended, as this agent saw it. For `status`; nothing is decided by it. */
import { fail } from '#shared/errors.ts'
import { ID_PATTERN } from '#shared/ids.ts'
import { parser, type Static, Type } from '#shared/schema.ts'

const id = Type.String({ pattern: ID_PATTERN })
const whole = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

export const Ending = Type.Union([
  Type.Literal('completed'),
  Type.Literal('partial'),
  Type.Literal('failed'),
  Type.Literal('canceled'),
  Type.Literal('refused'),
  /** The control plane has given it up, or to somebody else. */
  Type.Literal('lost'),
  /** The agent was killed in the middle of it; `at` is when it began. */
  Type.Literal('cut off'),
])
export type Ending = Static<typeof Ending>

const Problem = Type.Object({ code: Type.String(), message: Type.String() })

const Last = Type.Object({
  run: id,
  status: Ending,
  /** Milliseconds since 1970. */
  at: whole,
  problem: Type.Union([Type.Null(), Problem]),
})

const JobOutcome = Type.Object({
  job: id,
  name: Type.String(),
  /** The backup under way, or that was when the agent was killed. */
  begun: Type.Union([Type.Null(), Type.Object({ run: id, at: whole })]),
  last: Type.Union([Type.Null(), Last]),
})
export type JobOutcome = Static<typeof JobOutcome>
export type Last = Static<typeof Last>

const OutcomesFile = Type.Object({ version: Type.Literal(1), jobs: Type.Array(JobOutcome) })

/** More jobs than one server has; the ones longest without a backup go first. */
const MOST = 1000

export type Outcomes = readonly JobOutcome[]

const parseFile = parser(OutcomesFile)

/** `DAMAGED` for what is no such file. */
export const readOutcomes = (bytes: Uint8Array | null): Outcomes => {
  if (bytes === null) return []
  const damaged = (problem: string): Error =>
    fail('DAMAGED', { what: 'The file outcomes.json of this agent', problem })
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    throw damaged('it is not JSON')
  }
  const parsed = parseFile(value)
  if (!('ok' in parsed)) throw damaged(`${parsed.field} ${parsed.problem}`)
  return parsed.ok.jobs
}

export const writeOutcomes = (jobs: Outcomes): Uint8Array =>
  Buffer.from(`${JSON.stringify({ version: 1, jobs })}\n`, 'utf8')

type Job = Pick<JobOutcome, 'job' | 'name'>

/** The job that was changed stands first. */
const changed = (outcomes: Outcomes, { job, name }: Job, change: Partial<JobOutcome>): Outcomes => {
  const before = outcomes.find((one) => one.job === job)
  const now = { begun: null, last: null, ...before, job, name, ...change }
  return [now, ...outcomes.filter((one) => one.job !== job)].slice(0, MOST)
}

export const withBegun = (outcomes: Outcomes, job: Job, begun: JobOutcome['begun']): Outcomes =>
  changed(outcomes, job, { begun })

export const withLast = (outcomes: Outcomes, job: Job, last: Last): Outcomes =>
  changed(outcomes, job, { begun: null, last })

/** Whatever was under way when this was written, without a process that goes on with it. */
export const cutOff = (outcomes: Outcomes): Outcomes =>
  outcomes.map((one) =>
    one.begun === null
      ? one
      : { ...one, begun: null, last: { ...one.begun, status: 'cut off', problem: null } },
  )
