/** Where the readable reference lies, and that it needs no token, like the document itself. */
import type { FastifyInstance } from 'fastify'

export const REFERENCE = '/docs'

/** Its routes come from a package that knows no scopes. To be called before scopes are asked for. */
export const openReference = (app: FastifyInstance): void => {
  app.addHook('onRoute', (route) => {
    if (route.url === REFERENCE || route.url.startsWith(`${REFERENCE}/`))
      Object.assign(route, { config: { ...route.config, scope: 'public' } })
  })
}
