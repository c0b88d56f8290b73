/**
 * Streams of events over HTTP (server-sent events of the HTML standard): `event:` is `progress`, `log` or `status`,
 * `data:` one line of JSON, `id:` the position after it, which comes back as `Last-Event-ID`. Comments keep the
 * connection alive. The stream closes at the end; who comes back after it gets 204, and a browser then stays away.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { fail } from '#shared/errors.ts'
import { Type } from '#shared/schema.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import {
  type FollowEvent,
  parsePosition,
  type Position,
  showPosition,
  START,
} from '../../core/follow.ts'
import type { Following } from '../../flow/follow.ts'
import type { Followable } from '../../ports/following.ts'
import type { App } from './app.ts'
import { callerOf, stillAllowed } from './auth.ts'
import { textStream } from './text-stream.ts'

/** What a browser waits before it comes back. */
const RETRY: Ms = 2 * SECOND

export const StreamHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({ maxLength: 60, description: 'the id of the last event that was received' }),
  ),
})

/** The answers of a route that streams. */
export const streamed = {
  200: {
    description:
      'server-sent events until it is over: `status` with a `StatusEvent`, `log` with a `LogLine`, `progress`; ' +
      'each has an id, which `Last-Event-ID` may give back',
    content: { 'text/event-stream': { schema: Type.String() } },
  },
  204: Type.Null({ description: 'it is over, and Last-Event-ID was its last event' }),
}

export type Watched = {
  readonly source: Followable
  readonly id: string
  /** Whether the caller, whose token still holds, may still see it. */
  isVisible(): Promise<boolean>
}

export type Streams = {
  /** The route has checked that the caller may see it. */
  answer(request: FastifyRequest, reply: FastifyReply, watched: Watched): Promise<FastifyReply>
}

const startOf = (request: FastifyRequest): Position | null => {
  const given = request.headers['last-event-id']
  if (given === undefined || given === '') return null
  const position = typeof given === 'string' ? parsePosition(given) : null
  if (position === null)
    throw fail('VALIDATION_FAILED', {
      field: 'last-event-id',
      problem: 'is not the id of an event of this stream',
    })
  return position
}

const frame = ({ kind, position, data }: FollowEvent): string =>
  `id: ${showPosition(position)}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`

async function* textOf(
  batches: AsyncIterable<readonly FollowEvent[]>,
): AsyncGenerator<string, void, undefined> {
  yield `retry: ${RETRY}\n\n`
  for await (const events of batches)
    yield events.length === 0 ? ':\n\n' : events.map(frame).join('')
}

/** Closing the app ends every stream first. */
export const createStreams = (app: App, following: Following): Streams => {
  app.addHook('preClose', async () => following.close())
  return {
    answer: async (request, reply, watched) => {
      const { source, id } = watched
      const given = startOf(request)
      if (given !== null && (await following.isDone(source, id, given)))
        return reply.code(204).send(null)
      const gone = new AbortController()
      const owner = callerOf(request).token
      const allowed = async (): Promise<boolean> =>
        (await stillAllowed(request)) && (await watched.isVisible())
      const wish = { id, after: given ?? START, owner, allowed }
      const batches = following.follow(source, wish, gone.signal)
      reply.raw.once('close', () => gone.abort())
      return (
        reply
          .type('text/event-stream')
          .header('cache-control', 'no-store, no-transform')
          .header('x-accel-buffering', 'no')
          // A connection that would be kept for another request keeps the process, when it ends, from ending.
          .header('connection', 'close')
          .send(textStream(textOf(batches)))
      )
    },
  }
}
