/** What the streams of events carry, and the lines of logs (API.md, "Conventions"). */
import { type Static, Type } from '../schema.ts'
import { Reason } from './backups.ts'
import { listQuery, nullable, oneOf, time } from './shapes.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export const logLevel = oneOf(...LOG_LEVELS)

/** `event: log`, and a line of `GET …/logs`. `fields` say what it is about, for example `path` and `code`. */
export const LogLine = Type.Object({
  seq: Type.Integer({ minimum: 1, description: 'rises by one from line to line' }),
  at: time,
  level: logLevel,
  message: Type.String(),
  fields: Type.Record(Type.String(), Type.Unknown()),
})

/** `event: status`. */
export const StatusEvent = Type.Object({
  status: Type.String(),
  error: nullable(Reason),
  at: time,
})

/** `level`: this one and worse; `download`: all of it as text, oldest line first. */
export const LogQuery = listQuery(
  {
    level: Type.Optional(logLevel),
    download: Type.Optional(
      Type.Boolean({
        description: 'all of it as a text file, oldest line first, in place of a page',
      }),
    ),
  },
  ['seq'],
)

export type LogLevel = (typeof LOG_LEVELS)[number]
export type LogLine = Static<typeof LogLine>
export type StatusEvent = Static<typeof StatusEvent>
export type LogQuery = Static<typeof LogQuery>
