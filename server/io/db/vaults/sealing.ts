import type { Sealing } from '../../secrets.ts'
import type { VaultSealing } from './vaults.ts'

/** What a vault's list identity is sealed for. */
export const listIdentityPurpose = (vault: string): string => `vaults/${vault}/list_identity`

/** List identities under the master key, each bound to its vault. */
export const vaultSealing = (sealing: Sealing): VaultSealing => ({
  seal: (vault, identity) =>
    sealing.seal(listIdentityPurpose(vault), Buffer.from(identity, 'utf8')),
  reseal: (from, to, sealed) =>
    sealing.seal(listIdentityPurpose(to), sealing.open(listIdentityPurpose(from), sealed)),
})
