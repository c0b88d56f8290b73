/** The genesis of a new vault, verified against what we know of it. PROTOCOL.md, "vault.opened". */
import { createHash } from 'node:crypto'
import { fail } from '#shared/errors.ts'
import { recipientsFingerprint } from '#shared/format/keys.ts'
import { hintKey } from '#shared/format/layout.ts'
import { type Chain, genesisFingerprint, verifyChain } from '#shared/format/signers.ts'
import { type VaultId } from '#shared/ids.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import type { Link, Vaults } from '../ports.ts'
import type { RunScope } from '../ports/runs.ts'
import { type AgentParts, freshId, heldScope } from './agent-parts.ts'

type Expected = Awaited<ReturnType<Vaults['genesis']>>

const refuse = (problem: string): Error =>
  fail('PROTOCOL_VIOLATION', { problem: `the genesis of the vault ${problem}` })

const same = (a: Uint8Array | undefined, b: Uint8Array): boolean =>
  a !== undefined && Buffer.from(a).equals(b)

/** Exactly this vault, our recipients, the enrolled agent's key, the organization's key; properly signed. */
const check = (chain: Chain, vault: VaultId, expected: Expected): void => {
  if (chain.vault !== vault) throw refuse('is of another vault')
  if (recipientsFingerprint(chain.recipients) !== recipientsFingerprint(expected.recipients))
    throw refuse('names other recipients')
  if (!same(chain.signers[0], expected.agentKey)) throw refuse('names another agent key')
  if (!same(chain.organizationKey, expected.organizationKey))
    throw refuse('names another organization')
}

/** What people find beside the vault's objects; nothing in it is trusted (FORMAT.md, "Objects"). */
const hint = (
  vault: VaultId,
  fingerprint: string,
  recipients: Expected['recipients'],
): Uint8Array =>
  Buffer.from(
    `${JSON.stringify({ format: 'holdfast vault', version: 1, vault, genesis_fingerprint: fingerprint, recipients }, null, 2)}\n`,
    'utf8',
  )

type Opening = { readonly scope: RunScope; readonly vault: VaultId; readonly genesis: Uint8Array }

/** Signers and secrets that a broken-off opening has left: the vault has one genesis. A failure costs some garbage. */
const removeOthers = async (
  parts: AgentParts,
  { scope }: Opening,
  [keep, stop]: readonly [readonly string[], AbortSignal],
): Promise<void> => {
  const others = await parts.objects.forget(scope.backup, ['signer', 'key'], keep)
  if (others.length === 0) return
  const store = await parts.stores.open(scope.storage)
  await store.remove(others, stop)
}

const adopt = async (parts: AgentParts, opening: Opening, stop: AbortSignal): Promise<void> => {
  const { scope, vault, genesis } = opening
  const names = [
    { class: 'signer', no: 0 },
    { class: 'key', no: 0 },
  ] as const
  const stored = await parts.objects.find(scope.backup, names)
  const signer = stored.find((object) => object.class === 'signer')
  const secret = stored.find((object) => object.class === 'key')
  if (signer?.etag === undefined || signer.etag === null) throw refuse('is not stored')
  if (secret?.etag === undefined || secret.etag === null) throw refuse('came before its secret')
  const sha256 = createHash('sha256').update(genesis).digest('base64url')
  if (signer.sha256 !== sha256) throw refuse('is not what is stored')
  if (!(await parts.vaults.open(vault, genesis, signer.key))) throw refuse('is known already')
  parts.log.info({ vault, fingerprint: genesisFingerprint(genesis) }, 'a vault was opened')
  await removeOthers(parts, opening, [[signer.key, secret.key], stop])
}

const putBack = async (
  parts: AgentParts,
  scope: RunScope,
  [{ later }, stop]: readonly [Expected, AbortSignal],
): Promise<void> => {
  const store = await parts.stores.open(scope.storage)
  for (const { key, bytes } of later) await store.put(key, bytes, { ifAbsent: true }, stop)
}

export const openVault = async (
  parts: AgentParts,
  [link, report]: readonly [Link, Reports['vault.opened']],
  stop: AbortSignal,
): Promise<Order> => {
  const scope = await heldScope(parts, link, report)
  const { vault } = scope
  if (vault === null || vault !== report.vault)
    throw fail('RESOURCE_NOT_FOUND', { resource: 'vault', id: report.vault })
  const expected = await parts.vaults.genesis(vault)
  const genesis = new Uint8Array(Buffer.from(report.genesis, 'base64url'))
  check(verifyChain(genesis, []), vault, expected)
  if (expected.known !== null && !same(expected.known, genesis))
    throw refuse('is another than the one that is known')
  // Those that a recovery wrote no agent has: whatever is lost of them is put back first.
  if (expected.unwritten) await putBack(parts, scope, [expected, stop])
  if (expected.known === null || expected.unwritten)
    await adopt(parts, { scope, vault, genesis }, stop)
  const store = await parts.stores.open(scope.storage)
  const note = hint(vault, genesisFingerprint(genesis), expected.recipients)
  await store.put(hintKey(vault), note, { ifAbsent: true }, stop)
  return { type: 'objects.confirmed', id: freshId(parts), re: report.id, run: report.run }
}
