import { Health, Readiness } from '#shared/api/health.ts'
import type { Check } from '../../../flow/readiness.ts'
import type { App, Routes } from '../app.ts'

export type HealthParts = {
  readonly instance: string
  readonly version: string
  readonly readiness: Check
}

export const healthRoutes =
  (parts: HealthParts): Routes =>
  (app: App) => {
    app.get(
      '/healthz',
      {
        config: { scope: 'public' },
        schema: { summary: 'Whether it lives', response: { 200: Health } },
      },
      async () =>
        Promise.resolve({
          status: 'ok' as const,
          instance: parts.instance,
          version: parts.version,
        }),
    )
    app.get(
      '/readyz',
      {
        config: { scope: 'public', problems: ['DATABASE_UNAVAILABLE', 'STORAGE_UNAVAILABLE'] },
        schema: {
          summary: 'Whether it can work: its database, and a storage in use',
          response: { 200: Readiness },
        },
      },
      async () => {
        return { status: 'ready' as const, checks: await parts.readiness.check() }
      },
    )
  }
