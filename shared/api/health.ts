import { type Static, Type } from '../schema.ts'
import { oneOf } from './shapes.ts'

/** `instance` is made at each start: whoever reads `control-plane.json` tells by it whether this is that process. */
export const Health = Type.Object({
  status: oneOf('ok'),
  instance: Type.String(),
  version: Type.String(),
})

const database = Type.Unsafe<'ok'>({ ...oneOf('ok'), description: 'it answers a query' })

const storage = Type.Unsafe<'ok' | 'unused'>({
  ...oneOf('ok', 'unused'),
  description:
    'of the storages of the latest backups (at most three) one has answered a HEAD of an object of a vault within two seconds; looked at anew after five. `unused`: there is no backup yet',
})

/** Otherwise 503: `DATABASE_UNAVAILABLE` or `STORAGE_UNAVAILABLE` says what is not ready. */
export const Readiness = Type.Object({
  status: oneOf('ready'),
  checks: Type.Object({ database, storage }),
})

export type Health = Static<typeof Health>
export type Readiness = Static<typeof Readiness>
