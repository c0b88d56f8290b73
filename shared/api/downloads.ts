import { type Static, Type } from '../schema.ts'
import { Reason } from './backups.ts'
import { LostFiles } from './files.ts'
import { files, WantedFile } from './restores.ts'
import { body, bytes, count, id, name, nullable, oneOf, time } from './shapes.ts'

export const DOWNLOAD_STATUSES = ['pending', 'ready', 'failed', 'expired'] as const

/** 32 bytes, base64url. */
const key32 = Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' })

export const DEFAULT_LIFE_SECONDS = 3600

/**
 * `object`: one prepared object per file, encrypted to the content recipient; of a folder one `tar.zst`; of everything
 * where no files are named. `parts`: the objects of the vault themselves, with what opens them.
 */
export const DownloadInput = body({
  files: Type.Optional(files),
  format: Type.Optional(oneOf('object', 'parts')),
  /** Seconds that the links live. */
  expires_in: Type.Optional(Type.Integer({ minimum: 60, maximum: 604_800 })),
  /** What the archive is called; the backup's name if left out. */
  name: Type.Optional(name),
  /** With `parts`: X25519, to which file keys and id key are sealed. */
  opener_key: Type.Optional(key32),
  /** Where only the customer's key opens the content: the request by which its holder has opened it. */
  open_request_id: Type.Optional(id),
})

/** An object of the vault. `object` is its name below the storage's prefix, as the signed pack table has it. */
const stored = {
  object: Type.String(),
  url: Type.String(),
  size: bytes,
  /** Of the object, base64url. This, header and key are missing where the catalog does not know the object any more. */
  sha256: Type.Optional(Type.String()),
  /** Age header and payload nonce, base64url: the first bytes of the object. */
  header: Type.Optional(Type.String()),
  /** Sealed to `opener_key`, for the purposes that FORMAT.md and PROTOCOL.md give with `opening`. */
  sealed_file_key: Type.Optional(Type.String()),
}
const Stored = Type.Object(stored)

/** `ranges`: half-open, ascending, in bytes of the object; all that the selection needs of it. */
const Part = Type.Object({
  ...stored,
  ranges: Type.Array(Type.Tuple([bytes, bytes])),
})

const locator = Type.Tuple([
  Type.Integer(),
  Type.Integer(),
  Type.Integer(),
  Type.Integer(),
  Type.Integer(),
  Type.String(),
])

export const Parts = Type.Object({
  /** Part of every purpose that keys are sealed for. */
  opening: id,
  expires_at: time,
  /** Packs with content. */
  parts: Type.Array(Part),
  /** Objects with fence, pack table and segments, of everything that the selection touches. */
  trees: Type.Array(Part),
  record: Stored,
  /** The chain of signers, genesis first, base64url. */
  signers: Type.Array(Type.String()),
  /** The vault secret, from which whoever can open it has the id key. */
  secret: Type.Optional(Stored),
  sealed_id_key: Type.Optional(Type.String()),
  /** Files in the order of the tree, with the locators of their content. */
  files: Type.Array(
    Type.Object({
      id: Type.String(),
      path: Type.String(),
      size: bytes,
      content: Type.Array(locator),
    }),
  ),
  /** False: there are more files; their entries are in the trees. */
  files_complete: Type.Boolean(),
  lost: Type.Array(LostFiles),
})

/** The address of each prepared object by its file name. */
const Links = Type.Record(Type.String(), Type.String())

/** One prepared object. `url` is there while the download is ready. */
const PreparedFile = Type.Object({
  name: Type.String(),
  /** The file, or the folder that is in the archive; null: everything. */
  path: nullable(Type.String()),
  /** Bytes of the object, encrypted; null until it is written. */
  size: nullable(bytes),
  url: nullable(Type.String()),
})

export const Download = Type.Object({
  id,
  org_id: id,
  backup_id: id,
  name: Type.String(),
  format: oneOf('object'),
  status: oneOf(...DOWNLOAD_STATUSES),
  /** What was asked for, the first of them; empty: everything. */
  wanted: Type.Array(WantedFile),
  open_request_id: nullable(id),
  /** The first hundred; `links` has all. */
  files: Type.Array(PreparedFile),
  file_count: count,
  links: Links,
  progress: Type.Object({
    /** Of content, as the files have it; null before it has been counted. */
    bytes_total: nullable(bytes),
    bytes_done: bytes,
    files_done: count,
  }),
  error: nullable(Reason),
  expires_in: count,
  created_at: time,
  started_at: nullable(time),
  ready_at: nullable(time),
  expires_at: nullable(time),
})

/** By format and time: `parts`; the links, when they are ready at once; or the download that is being prepared. */
export const DownloadAnswer = {
  200: Type.Object({ data: Type.Union([Parts, Links]) }),
  202: Type.Object({ data: Download }),
}

export type DownloadInput = Static<typeof DownloadInput>
export type Download = Static<typeof Download>
export type Parts = Static<typeof Parts>
export type Part = Static<typeof Part>
export type StoredPart = Static<typeof Stored>
export type DownloadStatus = (typeof DOWNLOAD_STATUSES)[number]
