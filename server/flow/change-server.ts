/** What people do to the row of a server. */
import type { Server, ServerInput } from '#shared/api/servers.ts'
import type { Caller } from '../core/caller.ts'
import type { Servers } from '../ports.ts'
import type { Projects } from '../ports/tokens.ts'
import { chooseProject } from './choose-project.ts'

export type ServerParts = { readonly servers: Servers; readonly projects: Projects }

export const addServer = async (
  parts: ServerParts,
  caller: Caller,
  input: ServerInput,
): Promise<Server> =>
  parts.servers.add(caller, input, await chooseProject(parts, caller, input.project_id))
