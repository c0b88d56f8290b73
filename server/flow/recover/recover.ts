/** A catalog from a bucket alone. FORMAT.md, "Lost control plane"; shared/decisions/0014-recovery-into-an-empty-catalog.md. */
import { epochOf, parseKey, VAULTS } from '#shared/format/layout.ts'
import { isId, type OrgId, parseId, type StorageId } from '#shared/ids.ts'
import { type RecoverParts, recoverVault, type VaultReport } from './recover-vault.ts'

export type RecoverReport = {
  readonly vaults: readonly VaultReport[]
  /** Of pack numbers from now on. */
  readonly epoch: number
  /** Objects listed. */
  readonly listed: number
}

export type RecoverTold = (now: {
  readonly listed: number
  readonly vault: VaultReport | null
}) => void

type Listed = { readonly vaults: Map<string, string[]>; epoch: number; count: number }

/** Page by page; of packs, of which there are most, only the highest epoch is kept. */
const listAll = async (
  { store }: RecoverParts,
  told: RecoverTold,
  stop: AbortSignal,
): Promise<Listed> => {
  const listed: Listed = { vaults: new Map(), epoch: 0, count: 0 }
  for await (const key of store.list(VAULTS, stop)) {
    stop.throwIfAborted()
    listed.count += 1
    if (listed.count % 1000 === 0) told({ listed: listed.count, vault: null })
    const parsed = parseKey(key)
    if (parsed === null || !('vault' in parsed) || !isId(parsed.vault)) continue
    if (parsed.kind === 'pack' || parsed.kind === 'tree')
      listed.epoch = Math.max(listed.epoch, epochOf(parsed.no))
    const keys = listed.vaults.get(parsed.vault) ?? []
    listed.vaults.set(parsed.vault, keys)
    if (parsed.kind === 'signer' || parsed.kind === 'key' || parsed.kind === 'record')
      keys.push(key)
  }
  return listed
}

export const recover = async (
  parts: RecoverParts,
  { organization, storage }: { readonly organization: OrgId; readonly storage: StorageId },
  [told, stop]: readonly [RecoverTold, AbortSignal],
): Promise<RecoverReport> => {
  const listed = await listAll(parts, told, stop)
  // Before anything else: whatever ends this early, no number that the bucket has is given again.
  const first = await parts.recovery.raise(organization, listed.epoch)
  const vaults: VaultReport[] = []
  // Newest first: of several for one server, storage and key the first is the one in use.
  for (const id of [...listed.vaults.keys()].sort().toReversed()) {
    const keys = listed.vaults.get(id) ?? []
    const place = { organization, storage, vault: parseId<'vault'>(id, 'vault'), keys }
    const tell = (vault: VaultReport): void => told({ listed: listed.count, vault })
    vaults.push(await recoverVault(parts, place, [tell, stop]))
  }
  const epoch = vaults.length === 0 ? first : await parts.recovery.raise(organization, first)
  return { vaults, epoch, listed: listed.count }
}
