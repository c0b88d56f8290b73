/** Control plane → agent, about restores. Each type has a heading in PROTOCOL.md. */
import { type Static, Type } from '../schema.ts'
import { base64url, base64urlUpTo, envelope, id, list, ofRun, text, whole } from './fields.ts'

/** A file of the vault as the catalog knows it, and what a holder of the run may do with it. */
export const OpenedPack = Type.Object({
  no: whole,
  key: text(1024),
  size: whole,
  /** GET of this object only, until `expires_at` (ms). */
  url: text(4096),
  expires_at: whole,
  /** age header and payload nonce. */
  header: base64urlUpTo(8 * 1024),
  /** Sealed to the agent's box key for the purpose `open-request/<opening>/object/<no>`. */
  sealed_file_key: base64urlUpTo(128),
})

export const RestoreStart = Type.Object({
  type: Type.Literal('restore.start'),
  ...envelope,
  ...ofRun,
  lease_seconds: whole,
  backup: id,
  backup_name: text(200),
  job_name: text(200),
  vault: id,
  /** The bytes of signer 0 and of those after it. */
  signers: list(base64urlUpTo(16 * 1024), 32),
  /** The record's object, opened as packs are; purpose `open-request/<opening>/record`. */
  record: Type.Object({
    key: text(1024),
    size: whole,
    sha256: base64url(32),
    url: text(4096),
    expires_at: whole,
    sealed_file_key: base64urlUpTo(128),
  }),
  /** The id under which keys are sealed: the open request's, or the run's where there is none. */
  opening: id,
  /** The vault's id key; purpose `open-request/<opening>/id-key`. */
  sealed_id_key: base64urlUpTo(128),
  /** How many pages of `selection.given` say what is wanted; 0 = everything. */
  selection_pages: whole,
  /** Folder to restore into; empty = where everything was. */
  target: text(4096),
  /** What becomes of files that are there; `refuse`: nothing is restored if there are any. */
  conflict: Type.Union([Type.Literal('overwrite'), Type.Literal('skip'), Type.Literal('refuse')]),
})

export const RestoreCancel = Type.Object({
  type: Type.Literal('restore.cancel'),
  ...envelope,
  ...ofRun,
})

/** What is wanted: raw bytes of absolute paths, or of globs. */
export const SelectionGiven = Type.Object({
  type: Type.Literal('selection.given'),
  ...envelope,
  run: id,
  wanted: list(Type.Object({ raw: base64urlUpTo(12 * 1024), glob: Type.Boolean() }), 1000),
})

/** In the order of the request. */
export const PacksOpened = Type.Object({
  type: Type.Literal('packs.opened'),
  ...envelope,
  run: id,
  packs: list(OpenedPack, 64),
})

export const RestoreSettled = Type.Object({
  type: Type.Literal('restore.settled'),
  ...envelope,
  run: id,
})

/** Sign this: somebody who holds the key must see that it is this agent that asks. */
export const OpenProve = Type.Object({
  type: Type.Literal('open.prove'),
  ...envelope,
  request: id,
  purpose: text(32),
  backup: id,
  packs_sha256: base64url(32),
  /** ms. */
  expires_at: whole,
})

export const RESTORE_ORDERS = {
  'restore.start': RestoreStart,
  'restore.cancel': RestoreCancel,
  'selection.given': SelectionGiven,
  'packs.opened': PacksOpened,
  'restore.settled': RestoreSettled,
  'open.prove': OpenProve,
} as const

export type RestoreStart = Static<typeof RestoreStart>
export type OpenedPack = Static<typeof OpenedPack>

/** What the agent signs for somebody who holds the key: every field of the request, and the key that it is opened for. */
export const openProof = (
  asked: Pick<
    Static<typeof OpenProve>,
    'request' | 'purpose' | 'backup' | 'packs_sha256' | 'expires_at'
  >,
  boxKey: string,
): Uint8Array =>
  Buffer.from(
    [
      'holdfast/open-request/v1',
      asked.request,
      asked.purpose,
      asked.backup,
      asked.packs_sha256,
      String(asked.expires_at),
      boxKey,
    ].join('\0'),
    'utf8',
  )
