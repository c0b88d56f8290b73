/** A log over HTTP: a page of it, or all of it as a text file. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type LogLevel, LogLine, type LogQuery } from '#shared/api/events.ts'
import { many } from '#shared/api/shapes.ts'
import { Type } from '#shared/schema.ts'
import { showLine } from '../../core/log-text.ts'
import { pageRequest } from '../../core/page.ts'
import type { Logs } from '../../ports/following.ts'
import { listAnswer } from './lists.ts'
import { textStream } from './text-stream.ts'

/** The answers of a route that gives a log. */
export const logged = {
  200: {
    description: 'a page of it; with `download=true` all of it',
    content: {
      'application/json': { schema: many(LogLine) },
      'text/plain': { schema: Type.String() },
    },
  },
}

/** Lines read at once for a download: a line has at most 2,000 characters and a few fields. */
const READ = 500

export type LogOf = {
  readonly logs: Logs
  readonly id: string
  /** Of the file, without its ending. */
  readonly name: string
  readonly query: LogQuery
}

async function* textOf(
  { logs, id }: LogOf,
  level: LogLevel,
): AsyncGenerator<string, void, undefined> {
  let seq = 0
  for (;;) {
    const lines = await logs.after(id, seq, { level, limit: READ })
    seq = lines.at(-1)?.seq ?? seq
    if (lines.length > 0) yield lines.map(showLine).join('')
    if (lines.length < READ) return
  }
}

/** A page begins with the newest line, like every list (`sort=seq` turns it); as a text file a log is in reading order. The route has checked who may see it. */
export const answerLog = async (
  request: FastifyRequest,
  reply: FastifyReply,
  of: LogOf,
): Promise<FastifyReply> => {
  const { logs, id, name, query } = of
  const level = query.level ?? 'debug'
  if (query.download === true)
    return reply
      .type('text/plain; charset=utf-8')
      .header('content-disposition', `attachment; filename="${name}.log"`)
      .header('cache-control', 'no-store')
      .send(textStream(textOf(of, level)))
  const order = query.sort_order === 'asc' ? 'seq' : '-seq'
  const isAsked = query.sort !== undefined || query.sort_by !== undefined
  const page = pageRequest(isAsked ? query : { ...query, sort: order })
  return reply.send(listAnswer(request, page, await logs.list(id, page, level)))
}
