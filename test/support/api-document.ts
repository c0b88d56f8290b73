/** The OpenAPI document as the control plane serves it, made without anything behind the routes. */
import { type App, buildApp } from '#server/entry/http/app.ts'
import { type ApiParts, apiRoutes } from '#server/entry/http/routes.ts'
import { memoryLog } from './log.ts'

export type Schema = Readonly<Record<string, unknown>>

export type Parameter = {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required?: boolean
  readonly description?: string
  readonly schema: Schema
}

type Media = Readonly<
  Record<
    string,
    { readonly schema: Schema; readonly example?: unknown; readonly examples?: Schema }
  >
>

export type Operation = {
  readonly operationId: string
  readonly summary?: string
  readonly tags: readonly string[]
  readonly security: readonly Readonly<Record<string, readonly string[]>>[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly required: boolean; readonly content: Media }
  readonly 'x-problem-codes'?: Readonly<Record<string, readonly string[]>>
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string
        readonly content?: Media
      }
    >
  >
}

export type Document = {
  readonly openapi: string
  readonly tags: readonly { readonly name: string }[]
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

export type Route = {
  readonly method: string
  readonly path: string
  readonly scopes: readonly string[]
  readonly operation: Operation
}

/** Its JSON, as a client gets it. */
export const documentOf = (app: App): Document =>
  JSON.parse(JSON.stringify(app.swagger())) as Document

export const routesIn = (document: Document): readonly Route[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      scopes: operation.security.flatMap((one) => one['token'] ?? []),
      operation,
    })),
  )

/** Whatever a route asks its parts for while it is added. */
const nothing: unknown = new Proxy(() => undefined, {
  get: (_target, name) => (name === 'then' ? undefined : name === 'version' ? '0.0.0' : nothing),
})

/** The app with nothing behind its routes. */
export const bareApp = async (): Promise<App> =>
  buildApp(
    {
      tokens: { find: async () => Promise.resolve(null) },
      log: memoryLog(),
      requestsPerMinute: 1,
      makeRequestId: () => 'request',
    },
    apiRoutes(nothing as ApiParts),
  )

export const bareDocument = async (): Promise<Document> => {
  const app = await bareApp()
  const document = documentOf(app)
  await app.close()
  return document
}

const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A schema of the document with its references in place. */
export const resolved = (document: Document, schema: unknown): unknown => {
  if (Array.isArray(schema)) return schema.map((one) => resolved(document, one))
  if (!isObject(schema)) return schema
  const ref = schema['$ref']
  if (typeof ref !== 'string')
    return Object.fromEntries(
      Object.entries(schema).map(([key, part]) => [key, resolved(document, part)]),
    )
  const found = document.components.schemas[ref.slice('#/components/schemas/'.length)]
  if (found === undefined) throw new Error(`the document has no ${ref}`)
  return resolved(document, found)
}
