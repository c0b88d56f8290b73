/**
 * `Idempotency-Key` on every POST (API.md, "Conventions"): one hook for all routes. The first request with a key does the
 * work; the others get its answer, also those that come while it is at work.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '#shared/api/problem.ts'
import { CATALOGUE, type ErrorCode, fail, isErrorCode, problemOf } from '#shared/errors.ts'
import { parser } from '#shared/schema.ts'
import { MiB, type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Log } from '#shared/world.ts'
import type { HeldKey, Idempotency, KeptAnswer, KeyClaim } from '../../ports/idempotency.ts'
import { callerOf } from './auth.ts'

export type IdempotencyParts = {
  readonly idempotency: Idempotency
  readonly clock: Clock
  readonly log: Log
}

const NAME = 'idempotency-key'
const KEY = /^[\x21-\x7e]{1,255}$/
/** A lease lasts three of these: a process that died holds a key no longer. */
const RENEWAL: Ms = 5 * SECOND
const LOOK_AGAIN: Ms = SECOND / 5
/** Longer than a lease, so that whoever asks again after a crash gets through. */
const PATIENCE: Ms = 20 * SECOND
const LONGEST_KEPT = MiB

type Work = { readonly held: HeldKey; readonly timer: NodeJS.Timeout }

const works = new WeakMap<FastifyRequest, Work>()

const keyOf = (request: FastifyRequest): string | null => {
  const given = request.headers[NAME]
  if (given === undefined || request.method !== 'POST' || request.is404) return null
  if (typeof given === 'string' && KEY.test(given)) return given
  throw fail('VALIDATION_FAILED', {
    field: 'Idempotency-Key',
    problem: 'must be 1 to 255 printable characters without spaces',
  })
}

/** Objects with their fields in one order: the same request may be written in two ways. */
const sorted = (_: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value

const textOf = ({ url, body }: FastifyRequest): string =>
  `POST ${url}\n${JSON.stringify(body ?? {}, sorted)}`

const settled = async (
  { idempotency, clock }: IdempotencyParts,
  request: FastifyRequest,
  key: string,
): Promise<Exclude<KeyClaim, { is: 'busy' }>> => {
  const end = clock.monotonic() + PATIENCE
  for (;;) {
    const claimed = await idempotency.claim(callerOf(request), key, textOf(request))
    if (claimed.is !== 'busy') return claimed
    if (clock.monotonic() > end)
      throw fail('OPERATION_IN_PROGRESS', {
        operation: 'request',
        resource: 'Idempotency-Key',
        id: key,
      })
    await clock.sleep(LOOK_AGAIN, AbortSignal.timeout(PATIENCE))
  }
}

const hold = (parts: IdempotencyParts, held: HeldKey): Work => {
  const renew = async (): Promise<void> => {
    try {
      await parts.idempotency.renew(held)
    } catch (error) {
      parts.log.warn({ problem: problemOf(error) }, 'cannot renew the lease of a request')
    }
  }
  return { held, timer: setInterval(() => void renew(), RENEWAL) }
}

const parseProblem = parser(Problem)

const codeIn = (body: string): ErrorCode | null => {
  try {
    const problem = parseProblem(JSON.parse(body))
    return 'ok' in problem && isErrorCode(problem.ok.error.code) ? problem.ok.error.code : null
  } catch {
    return null
  }
}

/** An answer that says "later" is none: nothing was done, and the next try may succeed. */
const isFinal = ({ status, body }: KeptAnswer): boolean => {
  if (status < 400) return true
  const code = codeIn(body)
  return code !== null && CATALOGUE[code].retry !== 'later'
}

const settle = async (
  parts: IdempotencyParts,
  { held, timer }: Work,
  answer: KeptAnswer | null,
): Promise<void> => {
  clearInterval(timer)
  try {
    if (answer !== null && isFinal(answer)) await parts.idempotency.keep(held, answer)
    else await parts.idempotency.release(held)
  } catch (error) {
    // What was done is done, and is answered; whoever asks again after the lease does it again.
    parts.log.error({ problem: problemOf(error) }, 'cannot keep the answer of a request')
  }
}

const answerIn = (reply: FastifyReply, payload: unknown): KeptAnswer | null => {
  const body = payload ?? ''
  return typeof body === 'string' && body.length <= LONGEST_KEPT
    ? { status: reply.statusCode, body }
    : null
}

/** To be called before any route is added. */
export const answerOnce = (app: FastifyInstance, parts: IdempotencyParts): void => {
  app.addHook('preHandler', async (request, reply) => {
    const key = keyOf(request)
    if (key === null) return
    const claimed = await settled(parts, request, key)
    if (claimed.is === 'other')
      throw fail('CONFLICT', {
        problem: 'This Idempotency-Key was used for another request',
        field: 'Idempotency-Key',
      })
    if (claimed.is === 'mine') {
      works.set(request, hold(parts, claimed.held))
      return
    }
    const { status, body } = claimed.answer
    reply.code(status).header('idempotency-replayed', 'true')
    if (body !== '') reply.type('application/json; charset=utf-8')
    return reply.send(body)
  })
  app.addHook('onSend', async (request, reply, payload) => {
    const work = works.get(request)
    if (work === undefined) return
    works.delete(request)
    await settle(parts, work, answerIn(reply, payload))
  })
}
