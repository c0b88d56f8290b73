/** What counts for everything that the agent of a server does. */
import { limitFields, LimitWindow } from '../limits.ts'
import { type Static, Type } from '../schema.ts'
import { body, id, nullable, oneOf, time } from './shapes.ts'

export const PRIORITIES = ['low', 'normal'] as const

export const ServerSettings = Type.Object({
  server_id: id,
  ...limitFields,
  /** Of the agent's work against that of other programs on its machine. */
  priority: oneOf(...PRIORITIES),
  /** null: as they are from the beginning. */
  updated_at: nullable(time),
})

/** Bytes a second: 64 KiB at least, as a number or as people write them (`"2MiB"`); null: as fast as it goes. */
const speed = nullable(
  Type.Union([
    Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    Type.String({ minLength: 1, maxLength: 32, examples: ['2MiB'] }),
  ]),
)

const { from, to, days } = LimitWindow.properties

export const ServerSettingsChange = body({
  upload_limit: Type.Optional(speed),
  download_limit: Type.Optional(speed),
  /** All windows; the first that fits counts. A limit that is left out is none. */
  limit_windows: Type.Optional(
    Type.Array(
      body({
        from,
        to,
        days,
        upload_limit: Type.Optional(speed),
        download_limit: Type.Optional(speed),
      }),
      { maxItems: 50 },
    ),
  ),
  timezone: Type.Optional(limitFields.timezone),
  priority: Type.Optional(oneOf(...PRIORITIES)),
})

export type Priority = (typeof PRIORITIES)[number]
export type ServerSettings = Static<typeof ServerSettings>
export type ServerSettingsChange = Static<typeof ServerSettingsChange>
