import { one } from '#shared/api/shapes.ts'
import { Me } from '#shared/api/tokens.ts'
import type { Organizations } from '../../../ports.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'

export const meRoutes =
  (organizations: Organizations): Routes =>
  (app: App) => {
    app.get(
      '/v1/me',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'Who am I: the token, and its organization',
          response: { 200: one(Me) },
        },
      },
      async (request) => ({ data: await organizations.me(callerOf(request)) }),
    )
  }
