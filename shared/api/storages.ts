import { type Static, Type } from '../schema.ts'
import { body, id, line, listQuery, name, time } from './shapes.ts'

/** The credentials are write-only: they are sealed when they arrive and no answer has them. */
export const Storage = Type.Object({
  id,
  name,
  provider: Type.String(),
  endpoint: Type.String(),
  region: Type.String(),
  bucket: Type.String(),
  prefix: Type.String(),
  path_style: Type.Boolean(),
  allow_plaintext_downloads: Type.Boolean(),
  created_at: time,
  updated_at: time,
})

export const StorageInput = body({
  name,
  provider: line(60),
  endpoint: Type.String({ pattern: '^https?://[^\\s/?#@]+/?$', maxLength: 500 }),
  region: Type.String({ pattern: '^[A-Za-z0-9-]{1,60}$' }),
  bucket: Type.String({ pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$' }),
  /** Names divided by single slashes, none at the ends. */
  prefix: Type.Optional(Type.String({ maxLength: 400 })),
  access_key_id: line(200),
  secret_access_key: line(500),
  path_style: Type.Optional(Type.Boolean()),
  allow_plaintext_downloads: Type.Optional(Type.Boolean()),
})

export const StorageQuery = listQuery({ name: Type.Optional(Type.String({ maxLength: 200 })) })

export type Storage = Static<typeof Storage>
export type StorageInput = Static<typeof StorageInput>
export type StorageQuery = Static<typeof StorageQuery>
