/** The vault of (server, storage, key): found, or made with a list identity of its own, sealed under the master key. */
import { fail } from '#shared/errors.ts'
import { makeIdentity } from '#shared/format/keys.ts'
import { type OrgId, parseId } from '#shared/ids.ts'
import type { PreparedVault, VaultOf } from '../ports.ts'
import { type AgentParts, freshId } from './agent-parts.ts'

type Parts = Pick<AgentParts, 'vaults' | 'clock' | 'random'>

/**
 * Callers that race get the same vault. One that another agent began is retired, and a new one takes its recipients.
 * `RESOURCE_NOT_FOUND` for a server, storage or key that the organization does not have.
 */
export const prepareVault = async (
  parts: Parts,
  organization: OrgId,
  of: VaultOf,
): Promise<PreparedVault> => {
  const found = await parts.vaults.find(organization, of)
  if (found !== null && !found.stale) return found.vault
  const id = freshId<'vault'>(parts)
  if (found === null) {
    const { content, recovery } = await parts.vaults.recipients(organization, of)
    const identity = makeIdentity(parts.random(32))
    const recipients = { content, recovery, list: [identity.recipient.text] }
    await parts.vaults.add(organization, of, { id, recipients, identity: identity.text })
  } else {
    await parts.vaults.renew(organization, parseId(found.vault.id, 'vault'), id)
  }
  const made = await parts.vaults.find(organization, of)
  if (made === null) throw fail('INTERNAL')
  return made.vault
}
