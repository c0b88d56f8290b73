import { type Static, Type } from '../schema.ts'
import {
  body,
  duration,
  filterText,
  id,
  line,
  listQuery,
  name,
  nullable,
  oneOf,
  time,
} from './shapes.ts'

export const serverType = oneOf('agent', 'ssh')
export const serverStatus = oneOf('pending', 'online', 'offline', 'failing')
export const environment = oneOf('production', 'staging', 'development')
const labels = Type.Record(
  Type.String({ minLength: 1, maxLength: 63 }),
  Type.String({ maxLength: 200 }),
  { maxProperties: 50 },
)

export const Server = Type.Object({
  id,
  project_id: nullable(id),
  name,
  type: serverType,
  environment,
  labels: Type.Record(Type.String(), Type.String()),
  status: serverStatus,
  facts: nullable(Type.Record(Type.String(), Type.Unknown())),
  last_seen_at: nullable(time),
  last_used: nullable(time),
  /** From then on its agent is not let in; another enrolment makes it null again. */
  revoked_at: nullable(time),
  created_at: time,
  updated_at: time,
})

/** Servers reached by `ssh` are not offered before the control plane can reach them. */
export const ServerInput = body({
  name,
  type: oneOf('agent'),
  /** Left out: the project of the token, or none. */
  project_id: Type.Optional(id),
  environment: Type.Optional(environment),
  labels: Type.Optional(labels),
})

/** `labels` takes the place of all that there are; `project_id` null: in none. */
export const ServerChange = body({
  name: Type.Optional(name),
  project_id: Type.Optional(nullable(id)),
  environment: Type.Optional(environment),
  labels: Type.Optional(labels),
})

export const ServerQuery = listQuery(
  {
    name: filterText('those of exactly this name'),
    status: Type.Optional(serverStatus),
    environment: Type.Optional(environment),
    project_id: Type.Optional(id),
  },
  ['created_at', 'name', 'status'],
)

export const EnrollmentInput = body({
  /** The vaults whose recipients the agent pins: whoever enrols confirms exactly these. */
  vaults: Type.Optional(
    Type.Array(body({ storage_id: id, encryption_key_id: id }), { maxItems: 100 }),
  ),
  /** 1 minute to 7 days; one hour if left out. */
  expires_in: Type.Optional(duration),
})

export const Enrollment = Type.Object({
  id,
  server_id: id,
  token: Type.String({ description: 'shown once' }),
  command: Type.String(),
  expires_at: time,
  vaults: Type.Array(
    Type.Object({
      id,
      storage_id: id,
      storage: Type.String(),
      encryption_key_id: id,
      recipients: Type.Object({
        content: Type.Array(Type.String()),
        recovery: Type.Array(Type.String()),
        list: Type.Array(Type.String()),
      }),
      fingerprint: line(100),
    }),
  ),
})

export type Server = Static<typeof Server>
export type ServerChange = Static<typeof ServerChange>
export type ServerInput = Static<typeof ServerInput>
export type ServerQuery = Static<typeof ServerQuery>
export type EnrollmentInput = Static<typeof EnrollmentInput>
export type Enrollment = Static<typeof Enrollment>
