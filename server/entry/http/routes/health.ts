import { Health, Readiness } from '#shared/api/health.ts'
import type { App, Routes } from '../app.ts'

export type HealthParts = {
  readonly instance: string
  readonly version: string
  /** Throws when the database does not answer. */
  checkDatabase(): Promise<void>
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
        config: { scope: 'public', problems: ['DATABASE_UNAVAILABLE'] },
        schema: { summary: 'Whether it can work', response: { 200: Readiness } },
      },
      async () => {
        await parts.checkDatabase()
        return { status: 'ready' as const, checks: { database: 'ok' as const } }
      },
    )
  }
