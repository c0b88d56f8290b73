/**
 * What `holdfast recover` and the reader that it starts say to each other, one JSON object a line: the reader has the kit and
 * verifies, the program has the storage and the catalog. Neither the identity nor the storage's credentials travel.
 */
import { type Static, Type } from '../schema.ts'
import { base64url, base64urlUpTo, id, recipient, recipients, text, whole } from './fields.ts'
import { MiB } from '../units.ts'

const key = text(1024)
const number = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })

/** Of one answer: a record, or a look at a header or segment. */
export const MOST_READ = 8 * MiB

export const RecoverBegin = Type.Object({ do: Type.Literal('begin'), kit: text(4096) })
/** One vault: its signers, secrets and records as the storage lists them, and the list recipient that is to be in force. */
export const RecoverVault = Type.Object({
  do: Type.Literal('vault'),
  vault: id,
  keys: Type.Array(key),
  list: recipient,
})
/** Answer to `read`: bytes in base64, or why there are none. */
export const RecoverBytes = Type.Object({
  do: Type.Literal('bytes'),
  re: whole,
  bytes: Type.Optional(Type.String()),
  problem: Type.Optional(
    Type.Union([Type.Literal('missing'), Type.Literal('damaged'), Type.Literal('away')]),
  ),
  size: Type.Optional(whole),
})

export const RecoverRead = Type.Object({
  do: Type.Literal('read'),
  no: whole,
  key,
  start: whole,
  end: Type.Optional(whole),
})

/** Public halves of the kit, and where it says that the backups lie. */
export const RecoverKit = Type.Object({
  do: Type.Literal('kit'),
  organization: text(1024),
  organization_id: id,
  recovery: recipient,
  signing_key: base64url(32),
})

export const RecoverChain = Type.Object({
  do: Type.Literal('chain'),
  fingerprint: base64url(32),
  /** The objects of the chain that were believed, the genesis first. */
  signers: Type.Array(key),
  agent_key: base64url(32),
  recipients,
  /** To be written as the next signer, where the list recipient in force is another one. */
  next: Type.Union([Type.Null(), base64urlUpTo(32 * 1024)]),
})

/** An object that a record leads to. */
export const RecoverObject = Type.Object({
  no: number,
  key,
  size: whole,
  sha256: base64url(32),
  /** Null: it is not there, or not as it was signed. */
  header: Type.Union([Type.Null(), base64urlUpTo(64 * 1024)]),
  /** Of trees. */
  file_key: Type.Optional(base64url(16)),
})
export const RecoverObjects = Type.Object({
  do: Type.Literal('objects'),
  objects: Type.Array(RecoverObject),
})

const counted = Type.Object({
  files: whole,
  directories: whole,
  others: whole,
  changed: whole,
  unchanged: whole,
  skipped: whole,
})

export const RecoverBackup = Type.Object({
  do: Type.Literal('backup'),
  key,
  size: whole,
  sha256: base64url(32),
  header: base64urlUpTo(64 * 1024),
  file_key: base64url(16),
  job: id,
  backup: id,
  sequence: number,
  hostname: Type.String(),
  sources: Type.Array(Type.Unknown()),
  started: whole,
  completed: whole,
  counts: counted,
  bytes: Type.Object({ source: whole, read: whole, new: whole, stored: whole }),
  error_count: whole,
  /** Objects that it uses and the backup of its job before it did not, and the reverse. */
  added: Type.Array(number),
  removed: Type.Array(number),
})

export const RecoverProblem = Type.Object({
  do: Type.Literal('problem'),
  key,
  code: text(64),
  message: Type.String(),
})
/** Records that should be there and are not. */
export const RecoverGap = Type.Object({
  do: Type.Literal('gap'),
  job: id,
  gap: Type.Union([Type.Literal('missing'), Type.Literal('broken'), Type.Literal('double')]),
  first: whole,
  last: whole,
})
/** `problem`: nothing of the vault can be believed. */
export const RecoverEnd = Type.Object({
  do: Type.Literal('end'),
  problem: Type.Optional(Type.Object({ code: text(64), message: Type.String() })),
})

export const FromRecoverer = Type.Union([RecoverBegin, RecoverVault, RecoverBytes])
export const FromReader = Type.Union([
  RecoverRead,
  RecoverKit,
  RecoverChain,
  RecoverObjects,
  RecoverBackup,
  RecoverProblem,
  RecoverGap,
  RecoverEnd,
])
export type FromRecoverer = Static<typeof FromRecoverer>
export type FromReader = Static<typeof FromReader>
export type RecoverObject = Static<typeof RecoverObject>
export type RecoverBackup = Static<typeof RecoverBackup>
export type RecoverChain = Static<typeof RecoverChain>
export type RecoverVault = Static<typeof RecoverVault>
export type RecoverKit = Static<typeof RecoverKit>
