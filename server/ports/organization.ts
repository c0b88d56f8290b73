/** The caller's own organization. */
import type { Organization, OrganizationChange, RecoveryPage } from '#shared/api/organization.ts'
import type { Caller } from '../core/caller.ts'
import type { Page, PageRequest } from '../core/page.ts'

export type OwnOrganization = {
  get(caller: Caller): Promise<Organization>
  change(caller: Caller, change: OrganizationChange): Promise<Organization>
  /** Ed25519, 32 bytes; `null` where there is no kit. */
  signingKey(caller: Caller): Promise<Uint8Array | null>
  /** Notes that the kit is at hand. */
  confirmKit(caller: Caller): Promise<Organization>
  /** A caller of one project sees the vaults of that project. */
  recovery(
    caller: Caller,
    page: PageRequest,
  ): Promise<{
    readonly about: Omit<RecoveryPage, 'vaults'>
    readonly vaults: Page<RecoveryPage['vaults'][number]>
  }>
}
