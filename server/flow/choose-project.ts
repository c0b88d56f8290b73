/** The project that a new object of a caller lies in. */
import type { ProjectId } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'
import type { Projects } from '../ports/tokens.ts'
import { foundId } from './found.ts'

/** Left out: the caller's own, or none. Throws `RESOURCE_NOT_FOUND` for one that the caller does not see. */
export const chooseProject = async (
  { projects }: { readonly projects: Projects },
  caller: Caller,
  wanted: string | undefined,
): Promise<ProjectId | null> =>
  wanted === undefined
    ? caller.project
    : foundId('project', wanted, async (id: ProjectId) => projects.get(caller, id))
