/** Tokens and projects: who may, and where. */
import type { Project, ProjectChange, ProjectInput, ProjectQuery } from '#shared/api/projects.ts'
import type { NewToken, Scope, Token, TokenQuery } from '#shared/api/tokens.ts'
import type { ProjectId, TokenId } from '#shared/ids.ts'
import type { Ms } from '#shared/units.ts'
import type { Caller } from '../core/caller.ts'
import type { Reads } from '../ports.ts'

export type WantedToken = {
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly project: ProjectId | null
  /** `null`: it does not expire. */
  readonly expiresAt: Ms | null
}

/** Those of the caller's organization, or of its project, that are not revoked. */
export type IssuedTokens = Reads<Token, TokenId, TokenQuery> & {
  /** Only its hash is kept, so `token` cannot be shown again. */
  add(caller: Caller, wanted: WantedToken): Promise<NewToken>
  /** `false` where there is no such token. */
  revoke(caller: Caller, id: TokenId): Promise<boolean>
}

export type Projects = Reads<Project, ProjectId, ProjectQuery> & {
  add(caller: Caller, input: ProjectInput): Promise<Project>
  change(caller: Caller, id: ProjectId, change: ProjectChange): Promise<Project | null>
  /** Its tokens go with it. `RESOURCE_HAS_DEPENDENCIES` while servers are in it; `false` where there is none. */
  remove(caller: Caller, id: ProjectId): Promise<boolean>
}
