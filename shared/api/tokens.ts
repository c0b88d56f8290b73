import { type Static, Type } from '../schema.ts'
import { Recovery } from './organization.ts'
import {
  body,
  duration,
  filterText,
  id,
  listQuery,
  name,
  nullable,
  oneOf,
  time,
  when,
} from './shapes.ts'

export const SCOPES = ['read', 'backup', 'restore', 'download', 'delete', 'keys', 'admin'] as const
export type Scope = (typeof SCOPES)[number]
export const scope = oneOf(...SCOPES)

/** `hf_` and 32 random bytes in base64url. */
export const TOKEN_PATTERN = '^hf_[A-Za-z0-9_-]{43}$'

const fields = {
  id,
  name,
  scopes: Type.Array(scope),
  project_id: nullable(id),
  expires_at: nullable(time),
  last_used_at: nullable(time),
  created_at: time,
}

export const Token = Type.Object(fields)

export const NewToken = Type.Object({
  ...fields,
  token: Type.String({ description: 'shown once' }),
})

export const TokenInput = body({
  name,
  scopes: Type.Array(scope, { minItems: 1, maxItems: SCOPES.length }),
  /** Left out: the maker's own, or every project. */
  project_id: Type.Optional(id),
  /** One minute to ten years; without one of these two it lasts as long as its maker's token does. */
  expires_in: Type.Optional(duration),
  expires_at: Type.Optional(when),
})

export const TokenQuery = listQuery({ name: filterText('those of exactly this name') }, [
  'created_at',
  'name',
])

export const Me = Type.Object({
  organization: Type.Object({
    id,
    name,
    recovery: Recovery,
  }),
  token: Token,
})
export type Me = Static<typeof Me>
export type Token = Static<typeof Token>
export type NewToken = Static<typeof NewToken>
export type TokenInput = Static<typeof TokenInput>
export type TokenQuery = Static<typeof TokenQuery>
