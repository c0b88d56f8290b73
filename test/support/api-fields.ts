/** What a schema of the document asks for, field by field, and values that it does not want. Pure. */
import type { Schema } from './api-document.ts'

export type Path = readonly (string | number)[]

/** One field, however deep; lists are looked into by their first item. */
export type Field = { readonly path: Path; readonly schema: Schema; readonly required: boolean }

export const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value)

/** What a schema may be: its choices, or itself. */
const choicesOf = (schema: Schema): readonly Schema[] =>
  isList(schema['anyOf']) ? schema['anyOf'].filter(isObject).flatMap(choicesOf) : [schema]

export const typesOf = (schema: Schema): readonly string[] =>
  choicesOf(schema).flatMap(({ type }) => (isList(type) ? type.map(String) : [String(type)]))

const valueAt = (value: unknown, name: string | number): unknown =>
  isList(value) ? value[Number(name)] : isObject(value) ? value[name] : undefined

/** Schemas of the fields of an object; of a record, that of the first name in `example`. */
const partsOf = (schema: Schema, example: unknown): readonly (readonly [string, Schema])[] => {
  const { properties, patternProperties } = schema
  if (isObject(properties))
    return Object.entries(properties).filter((one): one is [string, Schema] => isObject(one[1]))
  const [value] = isObject(patternProperties) ? Object.values(patternProperties) : []
  const [name] = isObject(example) ? Object.keys(example) : []
  return isObject(value) && name !== undefined ? [[name, value]] : []
}

/** `example` is a value that fits, from which the names in records are taken. */
export const fieldsOf = (schema: Schema, example: unknown, path: Path = []): readonly Field[] =>
  choicesOf(schema).flatMap((choice): readonly Field[] => {
    const { items, required } = choice
    if (isObject(items)) return fieldsOf(items, valueAt(example, 0), [...path, 0])
    return partsOf(choice, example).flatMap(([name, part]) => [
      {
        path: [...path, name],
        schema: part,
        required: isList(required) && required.includes(name),
      },
      ...fieldsOf(part, valueAt(example, name), [...path, name]),
    ])
  })

/** Paths of the objects that take no other fields than theirs. */
export const closedAt = (schema: Schema, example: unknown, path: Path = []): readonly Path[] =>
  choicesOf(schema).flatMap((choice): readonly Path[] => {
    const { items, additionalProperties } = choice
    if (isObject(items)) return closedAt(items, valueAt(example, 0), [...path, 0])
    const isClosed = additionalProperties === false && isObject(choice['properties'])
    return [
      ...(isClosed ? [path] : []),
      ...partsOf(choice, example).flatMap(([name, part]) =>
        closedAt(part, valueAt(example, name), [...path, name]),
      ),
    ]
  })

const copyOf = (value: unknown): unknown =>
  isList(value) ? [...value] : isObject(value) ? { ...value } : {}

/** A copy of `whole` with `value` at `path`; `undefined` takes the field away. What is missing on the way is of `example`. */
export const withAt = (whole: unknown, example: unknown, path: Path, value: unknown): unknown => {
  const [name, ...rest] = path
  if (name === undefined) return value
  const copy = copyOf(whole ?? example) as Record<string | number, unknown>
  copy[name] = withAt(copy[name], valueAt(example, name), rest, value)
  return copy
}

export const nameOf = (path: Path): string => path.join('.')

/** Of a type that the schema does not take. */
export const wrongFor = (schema: Schema): unknown => {
  const types = typesOf(schema)
  if (!types.includes('object')) return { nonsense: true }
  return types.includes('boolean') ? 'nonsense' : true
}

const FILLERS = ['a', '/a', '1', 'A']

const fill = (schema: Schema, length: number): string => {
  const pattern = typeof schema['pattern'] === 'string' ? new RegExp(schema['pattern'], 'u') : /^/
  const texts = FILLERS.map((filler) => filler.padEnd(length, 'a'))
  return texts.find((text) => pattern.test(text)) ?? texts[0] ?? ''
}

/** One character, item or property more than allowed; far too many where the schema does not say how many. */
export const tooLongFor = (schema: Schema, example: unknown): readonly unknown[] =>
  choicesOf(schema).flatMap((choice): readonly unknown[] => {
    const { type, enum: values, maxLength, maxItems, maxProperties } = choice
    if (type === 'string' && values === undefined)
      return [fill(choice, typeof maxLength === 'number' ? maxLength + 1 : 20_000)]
    if (type === 'array') {
      const length = typeof maxItems === 'number' ? maxItems + 1 : 20_000
      return [Array.from({ length }, () => valueAt(example, 0))]
    }
    if (typeof maxProperties !== 'number') return []
    const names = Array.from({ length: maxProperties + 1 }, (_, n) => `name-${n}`)
    return [Object.fromEntries(names.map((name) => [name, 'value']))]
  })

const isWhole = (type: unknown): boolean => type === 'integer' || type === 'number'

/** Numbers next to the bounds, and such as no integer is. */
export const outOfRange = (schema: Schema): readonly number[] =>
  choicesOf(schema).flatMap(({ type, minimum, maximum }): readonly number[] => {
    if (!isWhole(type)) return []
    const below = typeof minimum === 'number' ? [minimum - 1] : []
    const above = typeof maximum === 'number' ? [maximum + 1] : []
    return [...below, ...above, ...(type === 'integer' ? [1.5] : [])]
  })

export const isFreeText = (schema: Schema): boolean =>
  choicesOf(schema).some((choice) => choice['type'] === 'string' && choice['enum'] === undefined)

export const isId = (schema: Schema): boolean =>
  choicesOf(schema).some(
    ({ type, pattern }) =>
      type === 'string' && typeof pattern === 'string' && pattern.includes('{8}(-'),
  )
