import type { Sealing } from '../../secrets.ts'
import type { VaultSealing } from './vaults.ts'

const purpose = (vault: string): string => `vaults/${vault}/list_identity`

/** List identities under the master key, each bound to its vault. */
export const vaultSealing = (sealing: Sealing): VaultSealing => ({
  seal: (vault, identity) => sealing.seal(purpose(vault), Buffer.from(identity, 'utf8')),
  reseal: (from, to, sealed) => sealing.seal(purpose(to), sealing.open(purpose(from), sealed)),
})
