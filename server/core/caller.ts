import type { Scope } from '#shared/api/tokens.ts'
import type { OrgId, ProjectId, TokenId } from '#shared/ids.ts'
import type { Ms } from '#shared/units.ts'

/** Who holds the token of a request, and what it may do. */
export type Caller = {
  readonly organization: OrgId
  readonly token: TokenId
  readonly name: string
  readonly scopes: readonly Scope[]
  /** A token of one project sees only that project. */
  readonly project: ProjectId | null
  /** When the token ends; `null`: it does not. */
  readonly expiresAt: Ms | null
  /** The id of the request, for the audit log. */
  readonly request?: string
}
