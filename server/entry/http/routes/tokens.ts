import { gone, IdParams, many, one } from '#shared/api/shapes.ts'
import { NewToken, Token, TokenInput, TokenQuery } from '#shared/api/tokens.ts'
import type { TokenId } from '#shared/ids.ts'
import { pageRequest } from '../../../core/page.ts'
import { foundId } from '../../../flow/found.ts'
import { makeToken, type MakeTokenParts } from '../../../flow/make-token.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

export const tokenRoutes =
  (parts: MakeTokenParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/tokens',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List tokens, without their secrets',
          querystring: TokenQuery,
          response: { 200: many(Token) },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const rows = await parts.issued.list(callerOf(request), page, request.query)
        return listAnswer(request, page, rows)
      },
    )
    app.post(
      '/v1/tokens',
      {
        config: { scope: 'admin', problems: ['RESOURCE_NOT_FOUND', 'LIMIT_EXCEEDED'] },
        schema: {
          summary: 'Make a token; its secret is shown once',
          body: TokenInput,
          response: { 201: one(NewToken) },
        },
      },
      async (request, reply) =>
        reply.code(201).send({ data: await makeToken(parts, callerOf(request), request.body) }),
    )
    app.delete(
      '/v1/tokens/:id',
      {
        config: { scope: 'admin' },
        schema: { summary: 'Revoke a token', params: IdParams, response: { 204: gone } },
      },
      async (request, reply) => {
        await foundId('token', request.params.id, async (id: TokenId) =>
          (await parts.issued.revoke(callerOf(request), id)) ? id : null,
        )
        return reply.code(204).send(null)
      },
    )
  }
