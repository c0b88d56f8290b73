/** Checks requests against the schemas of shared/api, and says in the catalogue's words which field is wrong. */
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifySchemaCompiler, FastifySchemaValidationError } from 'fastify'
import { body, PATTERN_WORDS } from '#shared/api/shapes.ts'
import { fail } from '#shared/errors.ts'
import type { TSchema } from '#shared/schema.ts'
import { spelled } from './spelled.ts'
import { type BadText, badText } from './well-formed.ts'

/** The first of the names that the schema library lists in `params` of an error of this kind. */
const namedIn = (
  error: FastifySchemaValidationError,
  keyword: string,
  list: string,
): string | null => {
  const names: unknown = error.keyword === keyword ? error.params[list] : null
  const first: unknown = Array.isArray(names) ? names[0] : null
  return typeof first === 'string' ? first : null
}

const unknownField = (error: FastifySchemaValidationError): string | null =>
  namedIn(error, 'additionalProperties', 'additionalProperties')

const missingField = (error: FastifySchemaValidationError): string | null =>
  namedIn(error, 'required', 'requiredProperties')

/** `/sources/0/paths` and a name below it, as `sources.0.paths.name`. */
const fieldAt = (pointer: string, below: string | null): string =>
  [...pointer.split('/').slice(1), ...(below === null ? [] : [below])].join('.')

const allowed = (error: FastifySchemaValidationError): string => {
  const values = error.params['allowedValues']
  return Array.isArray(values) ? `: ${values.map(String).join(', ')}` : ''
}

const words = (error: FastifySchemaValidationError): string => {
  const pattern = error.keyword === 'pattern' ? String(error.params['pattern']) : ''
  return PATTERN_WORDS.get(pattern) ?? `${error.message ?? 'is not valid'}${allowed(error)}`
}

const describeFirst = (
  errors: readonly FastifySchemaValidationError[],
  part: string,
): { field: string; problem: string } => {
  for (const error of errors) {
    const extra = unknownField(error)
    if (extra !== null)
      return { field: fieldAt(error.instancePath, extra), problem: 'is not a known field' }
  }
  for (const error of errors) {
    const missing = missingField(error)
    if (missing !== null)
      return { field: fieldAt(error.instancePath, missing), problem: 'is required' }
  }
  const [first] = errors
  const field = fieldAt(first?.instancePath ?? '', null)
  return {
    field: field === '' ? part : field,
    problem: first === undefined ? 'is not valid' : words(first),
  }
}

const PARTS: Readonly<Record<string, string>> = { querystring: 'query', params: 'path' }

const NOTHING = body({})
const WITH_BODY = ['POST', 'PUT', 'PATCH']

/** What a route does not say that it takes, it refuses by name, like any unknown field. */
const refuseTheRest = (app: FastifyInstance): void => {
  app.addHook('onRoute', (route) => {
    const { config, method } = route
    if (config?.scope === 'public' || config?.scope === 'agent') return
    const takesBody = [method].flat().some((one) => WITH_BODY.includes(one))
    const rest = takesBody ? { querystring: NOTHING, body: NOTHING } : { querystring: NOTHING }
    Object.assign(route, { schema: { ...rest, ...route.schema } })
  })
}

const isChecked = (checked: unknown): checked is { readonly value: unknown } =>
  typeof checked === 'object' && checked !== null && 'value' in checked

const textError = ({ pointer, problem }: BadText): FastifySchemaValidationError => ({
  keyword: 'text',
  instancePath: pointer,
  schemaPath: '#',
  params: {},
  message: problem,
})

const compiler: FastifySchemaCompiler<TSchema> = (route) => {
  // As of a body: what else comes in would be bent until it fits, 1.5 to 1.
  const validate = TypeBoxValidatorCompiler({ ...route, httpPart: 'body' })
  return (given) => {
    const checked = validate(route.httpPart === 'body' ? given : spelled(route.schema, given))
    const bad = isChecked(checked) ? badText(checked.value) : null
    if (bad === null) return checked
    return { error: [textError(bad)] }
  }
}

/** An absent body counts as `{}`, so that its missing fields are named and a body of optional fields may be left out. */
export const validateWithSchemas = (app: FastifyInstance): void => {
  app.setValidatorCompiler(compiler)
  refuseTheRest(app)
  app.setSchemaErrorFormatter((errors, part) =>
    fail('VALIDATION_FAILED', describeFirst(errors, PARTS[part] ?? part)),
  )
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser(['application/json', 'text/plain'])
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string' },
    (request, text: string, done) => {
      if (text === '') done(null, undefined)
      else
        void parseJson(request, text, (error, value) => {
          if (error === null) done(null, value)
          else
            done(
              fail(
                'VALIDATION_FAILED',
                { field: 'body', problem: 'is not JSON' },
                { cause: error },
              ),
            )
        })
    },
  )
  app.addHook('preValidation', async (request) => {
    if (request.routeOptions.schema?.body !== undefined && request.body === undefined)
      request.body = {}
    return Promise.resolve()
  })
}
