/** An example of whatever a schema describes: its own, if it gives one, else one that is put together. */
import type { Json, JsonSchema } from './components.ts'

const isObject = (value: Json | undefined): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value)

/** Texts that say nothing by their schema, by the name of their field. */
const TEXTS: Readonly<Record<string, string>> = {
  bucket: 'backups',
  code: 'SOURCE_UNREADABLE',
  command: 'holdfast-agent enroll --url https://backups.example.com --allow-source /',
  content: 'age1yt3tfqlfrwdwx0z0ynwplcr6qxcxfaqycuprpmy89nr83ltx74tqdpszlw',
  description: 'before the upgrade',
  endpoint: 'https://s3.example.com',
  exclude: '*.tmp',
  exclude_if_present: '.nobackup',
  external_id: 'change-4711',
  file: '/etc/ssh',
  fingerprint: 'kV3fUe5yqDhl0mI0Jm1yDq0vR2n8b8yqDhl0mI0Jm1w',
  hostname: 'web-1',
  key: 'vaults/0192b1c4-7d3e-7a51-9c46-5f0e8a2b6c11/packs/1',
  message: 'The agent works on it.',
  mode: '0644',
  name: 'web-1',
  path: '/var/www/index.html',
  prefix: 'holdfast',
  problem: 'permission denied',
  provider: 'other',
  recipient: 'age1yt3tfqlfrwdwx0z0ynwplcr6qxcxfaqycuprpmy89nr83ltx74tqdpszlw',
  region: 'eu-central-1',
  request_id: '0192b1c4-7d3e-7a51-9c46-5f0e8a2b6c3f',
  status: 'running',
  target_path: '/srv/restored',
  timeout: 'PT6H',
  url: '/v1/backups/0192b1c4-7d3e-7a51-9c46-5f0e8a2b6c11/files/f_L3Zhci93d3c',
}

const PIECE = /(\w)|\[([^\]]*)\](?:\{(\d+)(?:,\d+)?\}|[+*])?/y

/** A text for patterns of plain characters and classes of them: `^hf_[A-Za-z0-9_-]{43}$`. */
const ofPattern = (pattern: string): string | null => {
  const whole = pattern.replace(/^\^|\$$/g, '')
  let text = ''
  PIECE.lastIndex = 0
  while (PIECE.lastIndex < whole.length) {
    const [piece, letter, letters = '', count] = PIECE.exec(whole) ?? []
    if (piece === undefined) return null
    const one = letter ?? (letters.includes('A-Z') ? 'A' : letters.includes('a') ? 'a' : '1')
    text += one.repeat(Number(count ?? 1))
  }
  return text
}

const textOf = (schema: JsonSchema, name: string): string => {
  const { pattern, minLength } = schema
  const known = TEXTS[name]
  if (typeof pattern !== 'string')
    return known ?? 'text'.padEnd(typeof minLength === 'number' ? minLength : 0, '.')
  const fits = known !== undefined && new RegExp(pattern, 'u').test(known)
  return (fits ? known : ofPattern(pattern)) ?? 'text'
}

/** Finds what `#/components/schemas/…` names. */
export type Lookup = (ref: string) => JsonSchema

const objectOf = (schema: JsonSchema, lookup: Lookup): Json => {
  const { properties, additionalProperties, patternProperties } = schema
  if (isObject(properties))
    return Object.fromEntries(
      Object.entries(properties)
        .filter((entry): entry is [string, JsonSchema] => isObject(entry[1]))
        .map(([name, part]) => [name, sampleOf(part, lookup, name)]),
    )
  const [pattern, value] = isObject(patternProperties)
    ? (Object.entries(patternProperties)[0] ?? [])
    : ['', additionalProperties]
  if (!isObject(value)) return {}
  return { [ofPattern(pattern ?? '') ?? 'name']: sampleOf(value, lookup, 'value') }
}

const listOf = (schema: JsonSchema, lookup: Lookup, name: string): Json => {
  const { items, prefixItems } = schema
  const several = isList(prefixItems) ? prefixItems : items
  if (isList(several))
    return several.map((item) => (isObject(item) ? sampleOf(item, lookup, name) : null))
  return isObject(items) ? [sampleOf(items, lookup, name.replace(/s$/, ''))] : []
}

/** The first of several that is not null. */
const choiceOf = (choices: readonly Json[], lookup: Lookup, name: string): Json => {
  const some = choices.filter(isObject)
  const best = some.find((choice) => choice['type'] !== 'null') ?? some[0]
  return best === undefined ? null : sampleOf(best, lookup, name)
}

const ofType = (schema: JsonSchema, lookup: Lookup, name: string): Json => {
  const { type, minimum } = schema
  if (type === 'object') return objectOf(schema, lookup)
  if (type === 'array') return listOf(schema, lookup, name)
  if (type === 'string') return textOf(schema, name)
  if (type === 'boolean') return true
  if (type === 'null') return null
  return typeof minimum === 'number' ? minimum : 1
}

/** `name` is that of the field. */
export const sampleOf = (schema: JsonSchema, lookup: Lookup, name = ''): Json => {
  const { $ref: ref, examples, enum: values, anyOf } = schema
  if (typeof ref === 'string') return sampleOf(lookup(ref), lookup, name)
  if (isList(examples) && examples[0] !== undefined) return examples[0]
  if (schema['const'] !== undefined) return schema['const']
  if (isList(values)) return values[0] ?? null
  return isList(anyOf) ? choiceOf(anyOf, lookup, name) : ofType(schema, lookup, name)
}
