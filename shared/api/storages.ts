import { type Static, Type } from '../schema.ts'
import {
  body,
  count,
  filterText,
  id,
  line,
  listQuery,
  name,
  nullable,
  oneOf,
  time,
} from './shapes.ts'
import { VerifyPlan, VerifyPlanInput } from './verifications.ts'

/** What a test found out. */
export const StorageCapabilities = Type.Object({
  /** A PUT with `If-None-Match: *` onto an existing object is refused. */
  conditional_put: Type.Boolean(),
  /** A grant is worthless for other bytes than those that it was signed for. */
  content_bound_grants: Type.Boolean(),
  /** How far its clock is ahead of the control plane's; below two seconds counts as none. */
  clock_skew_ms: Type.Integer(),
})

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
  /** What it verifies by itself; null: nothing. Under a customer's key `full` stands in for `restore`. */
  verify: nullable(VerifyPlan),
  /** As of `tested_at`. */
  capabilities: nullable(StorageCapabilities),
  tested_at: nullable(time),
  created_at: time,
  updated_at: time,
})

const access = {
  endpoint: Type.String({ pattern: '^https?://[^\\s/?#@]+/?$', maxLength: 500 }),
  region: Type.String({ pattern: '^[A-Za-z0-9-]{1,60}$' }),
  bucket: Type.String({ pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$' }),
  access_key_id: line(200),
  secret_access_key: line(500),
}

/** Names divided by single slashes, none at the ends. */
const prefix = Type.Optional(Type.String({ maxLength: 400 }))
const path_style = Type.Optional(Type.Boolean())
const allow_plaintext_downloads = Type.Optional(Type.Boolean())

export const StorageInput = body({
  name,
  provider: line(60),
  ...access,
  prefix,
  path_style,
  allow_plaintext_downloads,
})

/** `endpoint`, `bucket` and `prefix` change only while no vault lies there. */
export const StorageChange = body({
  name: Type.Optional(name),
  provider: Type.Optional(line(60)),
  endpoint: Type.Optional(access.endpoint),
  region: Type.Optional(access.region),
  bucket: Type.Optional(access.bucket),
  access_key_id: Type.Optional(access.access_key_id),
  secret_access_key: Type.Optional(access.secret_access_key),
  prefix,
  path_style,
  allow_plaintext_downloads,
  /** The newest backup of each job, `every` so often: from an hour to 400 days; null switches it off. */
  verify: Type.Optional(nullable(VerifyPlanInput)),
})

export const StorageQuery = listQuery({ name: filterText('those of exactly this name') }, [
  'created_at',
  'name',
])

export const STORAGE_STEPS = [
  'write',
  'look',
  'read',
  'range',
  'list',
  'overwrite',
  'grant',
  'delete',
  'clock',
] as const

const step = Type.Object({
  step: oneOf(...STORAGE_STEPS),
  /** `warning`: it can be used all the same. */
  status: oneOf('passed', 'warning', 'failed', 'skipped'),
  took_ms: nullable(count),
  problem: nullable(Type.String()),
  /** What to do about it. */
  advice: nullable(Type.String()),
})

export const StorageReport = Type.Object({
  /** No step has failed. */
  ok: Type.Boolean(),
  steps: Type.Array(step),
  capabilities: nullable(StorageCapabilities),
  tested_at: time,
})

export type Storage = Static<typeof Storage>
export type StorageInput = Static<typeof StorageInput>
export type StorageChange = Static<typeof StorageChange>
export type StorageQuery = Static<typeof StorageQuery>
export type StorageCapabilities = Static<typeof StorageCapabilities>
export type StorageStep = Static<typeof step>
export type StorageReport = Static<typeof StorageReport>
