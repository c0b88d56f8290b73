/** What people do to the row of a server. */
import type { Server, ServerChange, ServerInput } from '#shared/api/servers.ts'
import { fail } from '#shared/errors.ts'
import type { ProjectId, ServerId } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'
import type { Servers } from '../ports.ts'
import type { Projects } from '../ports/tokens.ts'
import { chooseProject } from './choose-project.ts'
import { found } from './found.ts'

export type ServerParts = { readonly servers: Servers; readonly projects: Projects }

export const addServer = async (
  parts: ServerParts,
  caller: Caller,
  input: ServerInput,
): Promise<Server> =>
  parts.servers.add(caller, input, await chooseProject(parts, caller, input.project_id))

/** A token of one project cannot put a server where it does not see it any more. */
const projectIn = async (
  parts: ServerParts,
  caller: Caller,
  wanted: string | null,
): Promise<ProjectId | null> => {
  if (wanted !== null) return chooseProject(parts, caller, wanted)
  if (caller.project === null) return null
  throw fail('PERMISSION_DENIED', {
    scope: 'admin of the whole organization',
    scopes: caller.scopes,
    project_id: caller.project,
  })
}

export const changeServer = async (
  parts: ServerParts,
  caller: Caller,
  { id, project_id, ...change }: ServerChange & { readonly id: string },
): Promise<Server> =>
  found('server', id, async (server: ServerId) => {
    const known = await parts.servers.get(caller, server)
    if (known === null || (project_id === undefined && Object.keys(change).length === 0))
      return known
    return parts.servers.change(caller, server, {
      ...change,
      ...(project_id === undefined ? {} : { project: await projectIn(parts, caller, project_id) }),
    })
  })
