import { type Static, Type } from '../schema.ts'
import { bytes, count, id, nullable, oneOf, time } from './shapes.ts'
import { MAX_FILE_ID } from './file-ids.ts'

export const FILE_TYPES = [
  'file',
  'directory',
  'symlink',
  'fifo',
  'char',
  'block',
  'socket',
] as const

/** One entry of a backup. `path` and `name` show U+FFFD where they are not UTF-8; `id` is exact (file-ids.ts). */
export const BackupFile = Type.Object({
  id: Type.String(),
  path: Type.String(),
  name: Type.String(),
  type: oneOf(...FILE_TYPES),
  /** Bytes; null for what is no file. */
  size: nullable(bytes),
  mode: Type.String({ pattern: '^[0-7]{4}$', description: 'permission bits in octal' }),
  /** Null for times that no calendar has. */
  mtime: nullable(time),
  uid: count,
  gid: count,
  user: Type.Optional(Type.String()),
  group: Type.Optional(Type.String()),
  /** Of symbolic links. */
  target: Type.Optional(Type.String()),
  /** Why its content is not in the backup: `socket`, `unreadable`, `excluded`. */
  skipped: Type.Optional(Type.String()),
  /** The API's own address of this file, relative to its root. */
  url: Type.String(),
})

/** Names between two places of which nothing is known, because the part of the tree that has them cannot be read. */
export const LostFiles = Type.Object({
  from: Type.String(),
  /** Null: to the end. */
  to: nullable(Type.String()),
  code: Type.String(),
  problem: Type.String(),
})

/** Without a total: that would mean to read all of a folder. */
export const BackupFiles = Type.Object({
  data: Type.Array(BackupFile),
  meta: Type.Object({
    request_id: Type.String(),
    limit: count,
    /** Null: this was the last page. A search may have a next page though this one has no result. */
    next_cursor: nullable(Type.String()),
    lost: Type.Array(LostFiles),
  }),
})

/** An id, or a path; a path may be longer than a URL can be. */
const fileRef = (description: string): Type.TString =>
  Type.String({
    minLength: 1,
    maxLength: MAX_FILE_ID,
    pattern: '^(/|f_)',
    description,
    examples: ['f_L3Zhci93d3c'],
  })

export const FilesQuery = Type.Object(
  {
    path: Type.Optional(
      fileRef('a folder, by id or path; the root if left out. With `search`: where to look'),
    ),
    search: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description: 'part of a name, in any case, at any depth below `path`',
      }),
    ),
    cursor: Type.Optional(fileRef('`next_cursor` of the page before')),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: 'entries of a page; 50 if left out' }),
    ),
  },
  { additionalProperties: false },
)

const fileIdRef = Type.String({
  minLength: 1,
  maxLength: MAX_FILE_ID,
  pattern: '^f_',
  description: 'the `id` of an entry',
  examples: ['f_L3Zhci93d3c'],
})

export const FileParams = Type.Object({ id, file_id: fileIdRef })

export type BackupFile = Static<typeof BackupFile>
export type LostFiles = Static<typeof LostFiles>
export type FilesQuery = Static<typeof FilesQuery>
