/** The stream of one object's events: the same route for whatever can be followed. */
import { IdParams } from '#shared/api/shapes.ts'
import type { Id } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { Following } from '../../flow/follow.ts'
import { foundId } from '../../flow/found.ts'
import type { Followable } from '../../ports/following.ts'
import type { App } from './app.ts'
import { callerOf } from './auth.ts'
import { createStreams, streamed, StreamHeaders } from './sse.ts'

export type EventsRoute<Kind extends string> = {
  readonly path: `/v1/${string}/:id/events`
  /** What the person calls it, as in "There is no download …". */
  readonly resource: string
  readonly scope: 'read' | 'download'
  readonly summary: string
  readonly source: Followable
  /** Null: the caller may not see it, or it is not there. */
  readonly get: (caller: Caller, id: Id<Kind>) => Promise<unknown>
}

export const eventsRoute = <Kind extends string>(
  app: App,
  following: Following,
  { path, resource, scope, summary, source, get }: EventsRoute<Kind>,
): void => {
  const streams = createStreams(app, following)
  app.get(
    path,
    {
      config: { scope, problems: ['LIMIT_EXCEEDED'] },
      exposeHeadRoute: false,
      schema: { summary, params: IdParams, headers: StreamHeaders, response: streamed },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      const id = await foundId(resource, request.params.id, async (one: Id<Kind>) =>
        get(caller, one),
      )
      const isVisible = async (): Promise<boolean> => (await get(caller, id)) !== null
      return streams.answer(request, reply, { source, id, isVisible })
    },
  )
}
