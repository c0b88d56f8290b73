import { type Static, Type } from '../schema.ts'
import { body, count, id, listQuery, name, time } from './shapes.ts'

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
export const ProjectQuery = listQuery({ name: Type.Optional(Type.String({ maxLength: 200 })) })

export type Project = Static<typeof Project>
export type ProjectInput = Static<typeof ProjectInput>
export type ProjectChange = Static<typeof ProjectChange>
export type ProjectQuery = Static<typeof ProjectQuery>
