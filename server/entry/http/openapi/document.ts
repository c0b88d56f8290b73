/** OpenAPI 3.1 at /openapi.json and its reference at /docs, from the very schemas that validate. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { Type } from '#shared/schema.ts'
import type { Routes } from '../app.ts'
import { finishDocument } from './finish.ts'
import { describeRoute, TOKEN_SCHEME } from './operation.ts'
import { REFERENCE } from './reference.ts'

const DESCRIPTION = `Encrypted backups of many servers, into storage of your own.

**Tokens.** \`Authorization: Bearer hf_…\`; each has scopes, and may be bound to one project. An object of another organization or project is not there: 404.

**Answers.** One object is \`{"data": {…}}\`, a list \`{"data": […], "meta": {…}}\`, newest first; an error is \`{"error": {"code", "message", "details"}, "request_id"}\`, and its code never changes its meaning. Ids are UUIDv7, times ISO 8601 in UTC, sizes bytes.

**Requests.** Unknown fields and parameters are refused by name. \`X-Request-Id\` comes back in the answer; \`X-RateLimit-Limit\`, \`-Remaining\` and \`-Reset\` say what is left of the token's budget.

**Started work** answers at once. Poll it, or follow its \`/events\`.`

const TAGS: Readonly<Record<string, string>> = {
  Organization: 'the organization of the token, its limits, its recovery key',
  Tokens: 'who may do what',
  Projects: 'groups of servers',
  Servers: 'the machines that are backed up, and the enrolment of their agents',
  Storages: 'buckets',
  'Encryption keys': 'whom backups are encrypted to',
  Jobs: 'what is backed up, from where, and to where',
  Backups:
    'runs of jobs and what they stored: status, log, files, restores, downloads, verifications',
  Restores: 'files on their way back to a server',
  'Open requests': 'asking the holder of a key to open packs',
  Downloads: 'files that are prepared to be fetched',
  Verifications: 'reading a backup to see that it can be restored',
  Service: 'whether it lives, and this document',
}

const infoOf = (version: string) => ({
  openapi: '3.1.0',
  info: {
    title: 'Holdfast',
    version,
    description: DESCRIPTION,
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/', description: 'this control plane' }],
  tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
  components: {
    securitySchemes: {
      [TOKEN_SCHEME]: {
        type: 'http' as const,
        scheme: 'bearer',
        description: 'a token, `hf_` and 43 characters; what an operation asks of it is its scope',
      },
    },
  },
})

/** First of all routes: it sees those that are added after it. */
export const documentRoutes =
  (version: string): Routes =>
  async (app) => {
    await app.register(swagger, {
      openapi: infoOf(version),
      convertConstToEnum: false,
      transform: ({ schema, url, route }) => describeRoute(schema, url, route),
      transformObject: (made) =>
        'openapiObject' in made ? finishDocument({ ...made.openapiObject }) : made.swaggerObject,
    })
    await app.register(swaggerUi, {
      routePrefix: REFERENCE,
      uiConfig: { validatorUrl: null, tryItOutEnabled: false, displayRequestDuration: true },
    })
    app.get(
      '/openapi.json',
      {
        config: { scope: 'public' },
        schema: {
          operationId: 'getDocument',
          summary: 'This document',
          response: { 200: Type.Record(Type.String(), Type.Unknown()) },
        },
      },
      async () => Promise.resolve({ ...app.swagger() }),
    )
  }
