import { type Static, Type } from '../schema.ts'
import { body, count, filterText, id, listQuery, name, time } from './shapes.ts'

/** A group of servers. */
export const Project = Type.Object({
  id,
  name,
  /** Servers in it. */
  servers: count,
  created_at: time,
  updated_at: time,
})

export const ProjectInput = body({ name })
export const ProjectChange = body({ name: Type.Optional(name) })
export const ProjectQuery = listQuery({ name: filterText('those of exactly this name') }, [
  'created_at',
  'name',
])

export type Project = Static<typeof Project>
export type ProjectInput = Static<typeof ProjectInput>
export type ProjectChange = Static<typeof ProjectChange>
export type ProjectQuery = Static<typeof ProjectQuery>
