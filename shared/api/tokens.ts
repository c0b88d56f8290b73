import { type Static, Type } from '../schema.ts'
import { id, name, nullable, oneOf, time } from './shapes.ts'

export const SCOPES = ['read', 'backup', 'restore', 'download', 'delete', 'keys', 'admin'] as const
export type Scope = (typeof SCOPES)[number]
export const scope = oneOf(...SCOPES)

/** `hf_` and 32 random bytes in base64url. */
export const TOKEN_PATTERN = '^hf_[A-Za-z0-9_-]{43}$'

export const Me = Type.Object({
  organization: Type.Object({
    id,
    name,
    recovery: Type.Object({
      recipient: nullable(Type.String({ description: 'age recipient of the recovery key' })),
      signing_key: nullable(Type.String({ description: 'Ed25519 public key, base64url' })),
      confirmed_at: nullable(time),
    }),
  }),
  token: Type.Object({
    id,
    name,
    scopes: Type.Array(scope),
    project_id: nullable(id),
    expires_at: nullable(time),
    last_used_at: nullable(time),
    created_at: time,
  }),
})
export type Me = Static<typeof Me>
