/** One connection for one greeting: enrolment. */
import { fail } from '#shared/errors.ts'
import type { Challenge, Enroll, Welcome } from '#shared/protocol/hello.ts'
import type { Clock } from '#shared/world.ts'
import type { Dial } from '../ports.ts'
import { connect } from './connection.ts'
import { failureOf } from './outbox.ts'

type Greeting = {
  readonly dial: Dial
  readonly url: string
  readonly clock: Clock
  readonly introduce: (challenge: Challenge) => Enroll
}

/** Resolves with the welcome after the connection was left again; throws the control plane's reason, or why there was none. */
export const greet = async ({ dial, url, clock, introduce }: Greeting): Promise<Welcome> => {
  let welcome: Welcome | null = null
  let refused: Error | null = null
  const connection = connect(
    { dial, url, clock },
    {
      introduce,
      opened: (message) => {
        welcome = message
      },
      order: () => undefined,
      // The first beat follows the welcome at once: nothing more is wanted from this connection.
      beat: () => connection.leave('enrolled'),
      turnedAway: (problem) => {
        refused = failureOf(problem)
      },
    },
  )
  const problem = await connection.over
  return answerOf(welcome, refused, fail('CONTROL_PLANE_UNREACHABLE', { url, problem }))
}

const answerOf = (welcome: Welcome | null, refused: Error | null, otherwise: Error): Welcome => {
  if (refused !== null) throw refused
  if (welcome === null) throw otherwise
  return welcome
}
