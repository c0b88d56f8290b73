import { type Static, Type } from '../schema.ts'
import { body, count, id, line, listQuery, name, nullable, oneOf, time } from './shapes.ts'

const path = Type.String({ pattern: '^/[^\\x00]*$', maxLength: 4096 })

export const FilesSource = body({
  type: oneOf('files'),
  paths: Type.Array(path, { minItems: 1, maxItems: 1000 }),
  exclude: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), { maxItems: 1000 }),
  ),
})

export const Job = Type.Object({
  id,
  name,
  version: count,
  server_id: id,
  storage_id: id,
  encryption_key_id: id,
  sources: Type.Array(FilesSource),
  external_id: nullable(Type.String()),
  created_at: time,
  updated_at: time,
})

export const JobInput = body({
  name,
  server_id: id,
  storage_id: id,
  encryption_key_id: id,
  sources: Type.Array(FilesSource, { minItems: 1, maxItems: 100 }),
  external_id: Type.Optional(line(200)),
})

export const JobQuery = listQuery({
  name: Type.Optional(line(200)),
  server_id: Type.Optional(id),
  storage_id: Type.Optional(id),
  external_id: Type.Optional(Type.String({ maxLength: 200 })),
})

export type FilesSource = Static<typeof FilesSource>
export type Job = Static<typeof Job>
export type JobInput = Static<typeof JobInput>
export type JobQuery = Static<typeof JobQuery>
