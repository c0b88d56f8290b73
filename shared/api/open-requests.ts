import { type Static, Type } from '../schema.ts'
import { files, WantedFile } from './restores.ts'
import { body, bytes, count, duration, id, listQuery, nullable, oneOf, time } from './shapes.ts'

/** `enrol` (a vault secret for an agent that was enrolled anew) is not offered yet: such an agent starts a new vault. */
export const PURPOSES = ['restore', 'download', 'verify'] as const
export const purpose = oneOf(...PURPOSES)
export const openRequestStatus = oneOf('pending', 'approved', 'expired')

/** base64url without padding of exactly so many bytes. */
const binary = (length: number): Type.TString =>
  Type.String({ pattern: `^[A-Za-z0-9_-]{${Math.ceil((length * 4) / 3)}}$` })

/** What shared/seal.ts adds to what it seals. */
const SEAL = 49
const sealedFileKey = binary(16 + SEAL)
const sealedIdKey = binary(32 + SEAL)

/**
 * Who asks that packs be opened. `fingerprint`: SHA-256 of `signing_key` where there is one, else of `key`.
 * `signature` is an agent's, over `openProof(…)` (shared/protocol/open-request.ts).
 */
const opener = Type.Object({
  type: oneOf('agent', 'token', 'control-plane'),
  name: Type.String(),
  fingerprint: Type.String(),
  key: Type.String({ description: 'X25519, base64url: what everything is sealed to' }),
  server_id: Type.Optional(id),
  signing_key: Type.Optional(Type.String({ description: 'Ed25519, base64url' })),
  signature: Type.Optional(Type.String()),
})

/** An object of the vault, to be fetched from `url` until `expires_at` and checked against what is signed. */
const located = {
  key: Type.String(),
  size: bytes,
  sha256: Type.String(),
  header: Type.String({ description: 'age header and payload nonce, base64url' }),
  url: Type.String(),
  expires_at: time,
}

/** What the holder of the key verifies before he opens anything: shown to tokens with the scope `keys`. */
const evidence = Type.Object({
  record: Type.Object(located),
  signers: Type.Array(Type.String(), {
    description: 'the chain of signers, genesis first, base64url',
  }),
  secrets: Type.Array(Type.Object({ no: count, ...located })),
})

export const OpenRequest = Type.Object({
  id,
  purpose,
  status: openRequestStatus,
  backup_id: id,
  job_id: id,
  vault_id: id,
  restore_id: nullable(id),
  encryption_key: Type.Object({ id, recipient: Type.String() }),
  /** The first of what was asked for; empty: everything. */
  files: Type.Array(WantedFile),
  file_count: count,
  /** The first of them, ascending; all are under `/packs`. */
  packs: Type.Array(count),
  pack_count: count,
  /** Of the text that `packsText` makes of all numbers (shared/protocol/open-request.ts), base64url. */
  packs_sha256: Type.String(),
  opener,
  requested_by: Type.Object({ name: Type.String(), token_id: Type.Optional(id) }),
  created_at: time,
  expires_at: time,
  approved_at: nullable(time),
  evidence: Type.Optional(evidence),
})

/** Without `opener_key` the control plane itself is the opener: for what it builds or checks on its own. */
export const OpenRequestInput = body({
  purpose,
  backup_id: id,
  files: Type.Optional(files),
  opener_key: Type.Optional(binary(32)),
  /** 1 minute to 7 days; 24 hours if left out. */
  expires_in: Type.Optional(duration),
})

export const OpenRequestQuery = listQuery(
  {
    status: Type.Optional(openRequestStatus),
    purpose: Type.Optional(purpose),
    backup_id: Type.Optional(id),
  },
  ['created_at', 'expires_at'],
)

export const OpenRequestPack = Type.Object({
  no: count,
  key: Type.String(),
  size: bytes,
  header: Type.String({ description: 'age header and payload nonce, base64url' }),
})

export const OpenRequestPackQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1000, description: 'packs of a page; 100 if left out' }),
    ),
    cursor: Type.Optional(
      Type.String({ pattern: '^[0-9]{1,16}$', description: '`next_cursor` of the page before' }),
    ),
  },
  { additionalProperties: false },
)

/** One body carries some 8,000 keys; `more` says that others follow, and nothing is approved before the last of them. */
export const ApprovalInput = body({
  sealed_file_keys: Type.Record(Type.String({ pattern: '^[1-9][0-9]{0,15}$' }), sealedFileKey, {
    additionalProperties: false,
  }),
  sealed_id_key: Type.Optional(sealedIdKey),
  more: Type.Optional(Type.Boolean()),
})

export type OpenRequest = Static<typeof OpenRequest>
export type OpenRequestInput = Static<typeof OpenRequestInput>
export type OpenRequestQuery = Static<typeof OpenRequestQuery>
export type OpenRequestPack = Static<typeof OpenRequestPack>
export type ApprovalInput = Static<typeof ApprovalInput>
export type Purpose = (typeof PURPOSES)[number]
