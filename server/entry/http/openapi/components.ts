/** The named schemas of the document: what shared/api exports under a name of its own is a component. */
import * as backups from '#shared/api/backups.ts'
import * as downloads from '#shared/api/downloads.ts'
import * as keys from '#shared/api/encryption-keys.ts'
import * as events from '#shared/api/events.ts'
import * as files from '#shared/api/files.ts'
import * as health from '#shared/api/health.ts'
import * as jobs from '#shared/api/jobs.ts'
import * as openRequests from '#shared/api/open-requests.ts'
import * as organization from '#shared/api/organization.ts'
import * as problem from '#shared/api/problem.ts'
import * as projects from '#shared/api/projects.ts'
import * as restores from '#shared/api/restores.ts'
import * as servers from '#shared/api/servers.ts'
import * as shapes from '#shared/api/shapes.ts'
import * as storages from '#shared/api/storages.ts'
import * as tokens from '#shared/api/tokens.ts'

export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }
export type JsonSchema = { readonly [key: string]: Json }

const MODULES: readonly Readonly<Record<string, unknown>>[] = [
  backups,
  downloads,
  keys,
  events,
  files,
  health,
  jobs,
  openRequests,
  organization,
  problem,
  projects,
  restores,
  servers,
  shapes,
  storages,
  tokens,
]

/** Parameters are shown one by one, not as an object. */
const NAMED = /^[A-Z][a-z]\w*(?<!Query|Params)$/

/** A mark that passes through the generator untouched, in the place of a component. */
const MARK = 'x-component'

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isSchema = (value: unknown): value is JsonSchema =>
  isObject(value) && (typeof value['type'] === 'string' || Array.isArray(value['anyOf']))

const named = MODULES.flatMap((module) => Object.entries(module)).filter(
  (entry): entry is [string, JsonSchema] => NAMED.test(entry[0]) && isSchema(entry[1]),
)

/** Two that say the same are told apart by which of them it is; copies of one (an optional field is one) by what it says. */
const byIdentity = new Map<unknown, string>(named.map(([name, schema]) => [schema, name]))
const byText = new Map(named.toReversed().map(([name, schema]) => [JSON.stringify(schema), name]))

const nameOf = (schema: JsonSchema): string | null =>
  byIdentity.get(schema) ?? byText.get(JSON.stringify(schema)) ?? null

const each = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(each)
  return isObject(value) ? marked(value) : value
}

/** `schema` as plain JSON, its named parts replaced by marks; `self` is not. */
export const marked = (schema: unknown, self: string | null = null): unknown => {
  const name = isSchema(schema) ? nameOf(schema) : null
  if (name !== null && name !== self) return { [MARK]: name }
  return isObject(schema)
    ? Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, each(value)]))
    : each(schema)
}

/** Marks become references. */
export const referred = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(referred)
  if (!isObject(value)) return value
  const name = value[MARK]
  if (typeof name === 'string') return { $ref: `#/components/schemas/${name}` }
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, referred(part)]))
}

/** By name. */
export const componentSchemas = (): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    named
      .map(([name, schema]) => [name, referred(marked(schema, name))] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )
