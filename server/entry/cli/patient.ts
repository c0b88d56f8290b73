/** Looking while the control plane, or its database, is started again: what is at work there goes on meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CATALOGUE, Failure } from '#shared/errors.ts'
import { MINUTE, type Ms, SECOND } from '#shared/units.ts'
import type { Api } from './api-client.ts'

export type Patience = { readonly pause: Ms; readonly longest: Ms }

const USUAL: Patience = { pause: SECOND, longest: 2 * MINUTE }

/** Something that is needed is not there now. */
const mayPass = (error: unknown): boolean =>
  error instanceof Failure && CATALOGUE[error.code].status === 503

/** The same; only `get` is repeated while what it fails with may pass, for it changes nothing. */
export const patient = (api: Api, { pause, longest }: Patience = USUAL): Api => ({
  ...api,
  get: async (path, schema, stop) => {
    const end = performance.now() + longest
    for (;;) {
      try {
        return await api.get(path, schema, stop)
      } catch (error) {
        if (!mayPass(error) || performance.now() > end) throw error
        await sleep(pause, undefined, { signal: stop })
      }
    }
  },
})
