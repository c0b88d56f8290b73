import { type Static, Type } from '../schema.ts'
import {
  body,
  count,
  duration,
  filterText,
  id,
  line,
  listQuery,
  name,
  nullable,
  oneOf,
  time,
} from './shapes.ts'

const path = Type.String({ pattern: '^/[^\\x00]*$', maxLength: 4096 })

const fileName = Type.String({ pattern: '^[^/\\x00]+$', maxLength: 255 })

export const FilesSource = body({
  type: oneOf('files'),
  paths: Type.Array(path, { minItems: 1, maxItems: 1000 }),
  /** As a .gitignore in each of the paths; a slash in front begins at the root of the file system. */
  exclude: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), { maxItems: 1000 }),
  ),
  /** Leave out what lies beside a CACHEDIR.TAG. */
  exclude_caches: Type.Optional(Type.Boolean()),
  /** Leave out what lies beside a file of one of these names. */
  exclude_if_present: Type.Optional(Type.Array(fileName, { maxItems: 100 })),
  /** Bytes; larger files are left out. */
  max_file_size: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
  /** What is mounted below a path is left out. */
  one_file_system: Type.Optional(Type.Boolean()),
})

const sources = Type.Array(FilesSource, { minItems: 1, maxItems: 100 })

/** What a version says. */
const definition = {
  name,
  storage_id: id,
  encryption_key_id: id,
  sources: Type.Array(FilesSource),
  external_id: nullable(Type.String()),
  /** ISO 8601; null: seven days. A run that takes longer fails. */
  timeout: nullable(Type.String()),
}

export const Job = Type.Object({
  id,
  version: count,
  server_id: id,
  ...definition,
  created_at: time,
  updated_at: time,
})

/** What the job was from `created_at` on. */
export const JobVersion = Type.Object({
  version: count,
  ...definition,
  created_at: time,
  created_by: nullable(Type.Object({ name: Type.String(), token_id: Type.Optional(id) })),
})

export const JobInput = body({
  name,
  server_id: id,
  storage_id: id,
  encryption_key_id: id,
  sources,
  external_id: Type.Optional(line(200)),
  /** One minute to 30 days. */
  timeout: Type.Optional(duration),
})

/** Every change makes a new version. A job stays with its server. */
export const JobChange = body({
  name: Type.Optional(name),
  storage_id: Type.Optional(id),
  encryption_key_id: Type.Optional(id),
  sources: Type.Optional(sources),
  external_id: Type.Optional(nullable(line(200))),
  timeout: Type.Optional(nullable(duration)),
})

export const JobQuery = listQuery(
  {
    name: filterText('those of exactly this name'),
    server_id: Type.Optional(id),
    storage_id: Type.Optional(id),
    external_id: filterText('those that were made with it'),
  },
  ['created_at', 'name'],
)

export const JobVersionQuery = listQuery({}, ['created_at'])

export type FilesSource = Static<typeof FilesSource>
export type Job = Static<typeof Job>
export type JobInput = Static<typeof JobInput>
export type JobChange = Static<typeof JobChange>
export type JobVersion = Static<typeof JobVersion>
export type JobQuery = Static<typeof JobQuery>
