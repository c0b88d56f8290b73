/** Every error leaves here: one envelope, one code of the catalogue, never a stack (API.md, "Errors"). */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Problem } from '#shared/api/problem.ts'
import { CATALOGUE, fail, Failure, problemOf } from '#shared/errors.ts'
import type { Log } from '#shared/world.ts'

export const BODY_LIMIT = 1024 * 1024

const ofFramework = (error: FastifyError): Failure | null => {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return fail('PAYLOAD_TOO_LARGE', { limit: BODY_LIMIT })
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return fail('UNSUPPORTED_MEDIA_TYPE', { field: 'content-type' })
    case 'FST_ERR_BAD_URL':
      return fail('VALIDATION_FAILED', { field: 'path', problem: 'is not a well-formed URL' })
    default:
      break
  }
  const status = error.statusCode ?? 500
  if (status < 400 || status >= 500) return null
  return fail('VALIDATION_FAILED', { field: 'body', problem: error.message }, { cause: error })
}

const isFrameworkError = (error: unknown): error is FastifyError =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'

/** What the client is told; anything unforeseen is `INTERNAL`, and its own words stay in the log. */
export const asFailure = (error: unknown): Failure => {
  if (error instanceof Failure) return error
  const known = isFrameworkError(error) ? ofFramework(error) : null
  return known ?? fail('INTERNAL', {}, { cause: error })
}

export const problemBody = (failure: Failure, requestId: string): Problem => ({
  error: { code: failure.code, message: failure.message, details: { ...failure.details } },
  request_id: requestId,
})

const stackOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : problemOf(error)

/** Sends `error`. What is our own fault is logged with the request's id, by which a person finds it. */
export const sendProblem =
  (log: Log) =>
  async (error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const failure = asFailure(error)
    const { status } = CATALOGUE[failure.code]
    if (status >= 500)
      log.error(
        { request: request.id, code: failure.code, cause: stackOf(failure.cause ?? failure) },
        'a request failed',
      )
    if (status === 401) reply.header('www-authenticate', 'Bearer')
    return reply.code(status).send(problemBody(failure, request.id))
  }
