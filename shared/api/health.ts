import { type Static, Type } from '../schema.ts'
import { oneOf } from './shapes.ts'

/** `instance` is made at each start: whoever reads `control-plane.json` tells by it whether this is that process. */
export const Health = Type.Object({
  status: oneOf('ok'),
  instance: Type.String(),
  version: Type.String(),
})

export const Readiness = Type.Object({
  status: oneOf('ready'),
  checks: Type.Object({ database: oneOf('ok') }),
})

export type Health = Static<typeof Health>
export type Readiness = Static<typeof Readiness>
