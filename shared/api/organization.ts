import { type Static, Type } from '../schema.ts'
import { body, id, ListMeta, listQuery, name, nullable, time } from './shapes.ts'

/** The public halves of the recovery kit, and whether somebody has shown that the kit is at hand. */
export const Recovery = Type.Object({
  recipient: nullable(Type.String({ description: 'age recipient of the recovery key' })),
  signing_key: nullable(Type.String({ description: 'Ed25519 public key, base64url' })),
  confirmed_at: nullable(time),
})

const most = nullable(Type.Integer({ minimum: 0, maximum: 1_000_000 }))

/** `null`: no limit. A POST beyond one is `LIMIT_EXCEEDED`; what is there already stays. */
const limits = { max_projects: most, max_servers: most, max_jobs: most, max_tokens: most }

export const Limits = Type.Object(limits)

export const Organization = Type.Object({
  id,
  name,
  limits: Limits,
  recovery: Recovery,
  created_at: time,
  updated_at: time,
})

export const OrganizationChange = body({
  name: Type.Optional(name),
  limits: Type.Optional(
    body({
      max_projects: Type.Optional(most),
      max_servers: Type.Optional(most),
      max_jobs: Type.Optional(most),
      max_tokens: Type.Optional(most),
    }),
  ),
})

/** Proof that the kit is at hand: `kitProof` of shared/format/recovery-kit.ts, signed with its signing key. */
export const KitConfirmation = body({
  signature: Type.String({
    pattern: '^[A-Za-z0-9_-]{86}$',
    description:
      'base64url of the Ed25519 signature, by the organization signing key of the recovery kit, over the bytes ' +
      '"holdfast/recovery-kit/v1", 0, "confirm", 0, the id of the organization, 0, `time` in decimal digits',
  }),
  time: Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description:
      'milliseconds since 1970; at most 15 minutes away from the time of the control plane',
  }),
})

/** What whoever holds the kit has to know to read the buckets without this control plane: nothing of it is secret. */
export const RecoveryPage = Type.Object({
  organization_id: id,
  organization: name,
  recovery: Recovery,
  storages: Type.Array(
    Type.Object({
      id,
      name,
      endpoint: Type.String(),
      region: Type.String(),
      bucket: Type.String(),
      prefix: Type.String(),
    }),
  ),
  vaults: Type.Array(
    Type.Object({
      id,
      server_id: id,
      server: name,
      storage_id: id,
      encryption_key_id: id,
      genesis_fingerprint: nullable(
        Type.String({ description: 'base64url; null until its agent has opened it' }),
      ),
      created_at: time,
      retired_at: nullable(time),
    }),
  ),
})

export const RecoveryQuery = listQuery({}, ['created_at'])

/** `meta` pages through the vaults. */
export const RecoveryAnswer = Type.Object({ data: RecoveryPage, meta: ListMeta })

export type Organization = Static<typeof Organization>
export type OrganizationChange = Static<typeof OrganizationChange>
export type Limits = Static<typeof Limits>
export type KitConfirmation = Static<typeof KitConfirmation>
export type RecoveryPage = Static<typeof RecoveryPage>
