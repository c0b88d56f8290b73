/** The last touches to the generated document: references to components, and an example of every body and answer. */
import { isErrorCode } from '#shared/errors.ts'
import { componentSchemas, isObject, type JsonSchema, referred } from './components.ts'
import { operationId } from './names.ts'
import { PROBLEMS } from './operation.ts'
import { problemSample } from './problems.ts'
import { type Lookup, sampleOf } from './samples.ts'

type Part = Readonly<Record<string, unknown>>

const COMPONENT = '#/components/schemas/'

const lookupIn =
  (schemas: Part): Lookup =>
  (ref) => {
    const found = schemas[ref.slice(COMPONENT.length)]
    if (!isObject(found)) throw new Error(`the document has no ${ref}`)
    return found as JsonSchema
  }

const mapValues = (part: unknown, change: (value: Part, key: string) => unknown): unknown =>
  isObject(part)
    ? Object.fromEntries(
        Object.entries(part).map(([key, value]) => [
          key,
          isObject(value) ? change(value, key) : value,
        ]),
      )
    : part

const withExample = (lookup: Lookup) => (media: Part, type: string) => {
  const { schema } = media
  if (type !== 'application/json' || !isObject(schema)) return media
  return { ...media, example: sampleOf(schema as JsonSchema, lookup) }
}

const problemExamples = (codes: readonly unknown[]): Part =>
  Object.fromEntries(
    codes
      .map(String)
      .filter(isErrorCode)
      .map((code) => [code, { value: problemSample(code) }]),
  )

/** How long to wait. */
const RETRY_AFTER = { 'retry-after': { description: 'seconds', schema: { type: 'integer' } } }

const finishResponse = (lookup: Lookup, problems: Part) => (response: Part, status: string) => {
  const codes = problems[status]
  const content = Array.isArray(codes)
    ? mapValues(response['content'], (media) => ({ ...media, examples: problemExamples(codes) }))
    : mapValues(response['content'], withExample(lookup))
  return {
    ...response,
    ...(status === '429' ? { headers: RETRY_AFTER } : {}),
    ...(content === undefined ? {} : { content }),
  }
}

/** A body of which every field may be left out may be left out itself. */
const isNeeded = (lookup: Lookup, body: Part): boolean => {
  const content = isObject(body['content']) ? Object.values(body['content']) : []
  return content.some((media) => {
    const schema = isObject(media) && isObject(media['schema']) ? media['schema'] : {}
    const ref = schema['$ref']
    const { required } = typeof ref === 'string' ? lookup(ref) : schema
    return Array.isArray(required) && required.length > 0
  })
}

const at = (value: unknown, ...names: readonly string[]): unknown =>
  names.reduce<unknown>((part, name) => (isObject(part) ? part[name] : undefined), value)

const isMany = (lookup: Lookup, responses: unknown): boolean => {
  const schema = at(responses, '200', 'content', 'application/json', 'schema')
  const ref = at(schema, '$ref')
  const whole = typeof ref === 'string' ? lookup(ref) : schema
  return at(whole, 'properties', 'data', 'type') === 'array'
}

type Place = { readonly path: string; readonly method: string }

const finishOperation = (lookup: Lookup, { path, method }: Place, operation: Part): Part => {
  const { requestBody, responses, operationId: id } = operation
  const problems = isObject(operation[PROBLEMS]) ? operation[PROBLEMS] : {}
  const body = isObject(requestBody)
    ? {
        requestBody: {
          required: isNeeded(lookup, requestBody),
          content: mapValues(requestBody['content'], withExample(lookup)),
        },
      }
    : {}
  return {
    operationId: id ?? operationId(method.toUpperCase(), path, isMany(lookup, responses)),
    ...operation,
    ...body,
    responses: mapValues(responses, finishResponse(lookup, problems)),
  }
}

export const finishDocument = (document: Part): Part => {
  const whole = referred(document)
  if (!isObject(whole)) return document
  const { components, paths } = whole
  const schemas = componentSchemas()
  const lookup = lookupIn(schemas)
  return {
    ...whole,
    components: { ...(isObject(components) ? components : {}), schemas },
    paths: mapValues(paths, (item, path) =>
      mapValues(item, (operation, method) => finishOperation(lookup, { path, method }, operation)),
    ),
  }
}
