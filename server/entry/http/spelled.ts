/** Numbers and booleans of queries come as text: exactly what spells one becomes one, the rest stays text and is refused. */
import type { TSchema } from '#shared/schema.ts'

const WHOLE = /^(0|-?[1-9]\d{0,15})$/
const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['false', false],
])

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const valueOf = (schema: unknown, text: string): unknown => {
  const type = isObject(schema) ? schema['type'] : undefined
  if (type === 'integer' && WHOLE.test(text)) return Number(text)
  return type === 'boolean' ? (BOOLEANS.get(text) ?? text) : text
}

/** `given`: texts by name. */
export const spelled = (schema: TSchema, given: unknown): unknown => {
  const properties = 'properties' in schema ? schema.properties : undefined
  if (!isObject(given) || !isObject(properties)) return given
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [
      name,
      typeof value === 'string' ? valueOf(properties[name], value) : value,
    ]),
  )
}
