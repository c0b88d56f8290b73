/** The vault of a run: its secret, made here on the first run, and its first objects (FORMAT.md, "Keys"). */
import { parseBase64url, toBase64url } from '#shared/format/bytes.ts'
import {
  parseRecipient,
  recipientsFingerprint,
  sha256,
  type RecipientSet,
  type SigningKey,
} from '#shared/format/keys.ts'
import { encodeGenesis, genesisFingerprint } from '#shared/format/signers.ts'
import { deriveKeys, encodeVaultSecret, type VaultKeys } from '#shared/format/vault-secret.ts'
import { fail, hasCode } from '#shared/errors.ts'
import { sealObject } from '../core/seal-object.ts'
import { readVaultFile, writeChecked, type VaultFile } from '../core/state.ts'
import type { RunLink, StateFolder, World } from '../ports.ts'
import type { Uploads } from './uploads.ts'

export type VaultOrder = {
  readonly id: string
  readonly is_new: boolean
  /** Its first objects are to be written again, as they were. */
  readonly again?: boolean
  readonly recipients: RecipientSet
}

export type VaultParts = {
  readonly state: StateFolder
  readonly world: World
  readonly signer: SigningKey
  /** Pinned at enrolment; its private half is in the recovery kit alone. */
  readonly organizationKey: string
}

/**
 * base64url SHA-256 of the genesis that this agent has written for the vault; null of any other vault, and where the
 * file is damaged: files must be restorable by a machine whose own state was hit as well.
 */
export const ownGenesis = (state: Pick<StateFolder, 'read'>, vault: string): string | null => {
  const bytes = state.read(vaultPath(vault))
  if (bytes === null) return null
  try {
    return genesisFingerprint(bytesOf(readVaultFile(bytes).genesis))
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return null
    throw error
  }
}

export const vaultPath = (vault: string): string => `vaults/${vault}/secret.json`

const bytesOf = (text: string): Uint8Array => {
  const bytes = parseBase64url(text)
  if (bytes === null)
    throw fail('DAMAGED', {
      what: 'The vault secret of this agent',
      problem: 'it is not base64url',
    })
  return bytes
}

/** Secret and first objects, on disk before anything else is done with them. */
const make = (parts: VaultParts, { id, recipients }: VaultOrder, secret: Uint8Array): VaultFile => {
  const { world, signer } = parts
  const agentKey = toBase64url(signer.publicKey)
  const genesis = encodeGenesis(
    {
      vault: id,
      recipients,
      agentKey,
      organizationKey: parts.organizationKey,
      created: world.clock.now(),
    },
    signer.sign,
  )
  const readers = [...recipients.content, ...recipients.recovery].map(parseRecipient)
  const key = sealObject(encodeVaultSecret(id, secret), readers, world.random)
  const file: VaultFile = {
    version: 1,
    vault: id,
    secret: toBase64url(secret),
    agent_key: agentKey,
    readers: recipientsFingerprint(recipients),
    genesis: toBase64url(genesis),
    key: toBase64url(key.bytes),
    key_header_bytes: key.header.length,
  }
  parts.state.replace(vaultPath(id), writeChecked(file))
  return file
}

const missing = (problem: string): Error => fail('KEY_REQUIRED', { problem })

/**
 * The vault's file as this run needs it. Before the vault is open, first objects for other readers or of another agent
 * key are made anew around the same secret; after that, its chain of signers says who may write.
 */
const fileOf = (parts: VaultParts, vault: VaultOrder): VaultFile => {
  const bytes = parts.state.read(vaultPath(vault.id))
  if (bytes === null) {
    if (!vault.is_new)
      throw missing(
        'the secret of this vault is not on this server; without its agent.json, enrolled again, the agent begins a new vault',
      )
    return make(parts, vault, parts.world.random(32))
  }
  const file = readVaultFile(bytes)
  const sameAgent = file.agent_key === toBase64url(parts.signer.publicKey)
  if (!vault.is_new) {
    if (!sameAgent) throw missing('this vault was begun with another agent key')
    return file
  }
  const sameReaders = file.readers === recipientsFingerprint(vault.recipients)
  return sameAgent && sameReaders ? file : make(parts, vault, bytesOf(file.secret))
}

/** The keys of the vault. `KEY_REQUIRED` where the vault is in use and this agent cannot write into it. */
export const vaultKeys = (parts: VaultParts, vault: VaultOrder): VaultKeys =>
  deriveKeys(bytesOf(fileOf(parts, vault).secret))

type Opening = {
  readonly link: RunLink
  readonly uploads: Uploads
  readonly stop: AbortSignal
}

/** Writes signers/0 and keys/0, the same bytes however often it is tried, before the first pack. */
export const openVault = async (
  { state }: VaultParts,
  vault: VaultOrder,
  { link, uploads, stop }: Opening,
): Promise<void> => {
  const bytes = state.read(vaultPath(vault.id))
  if (!(vault.is_new || vault.again === true) || bytes === null) return
  const file = readVaultFile(bytes)
  const genesis = bytesOf(file.genesis)
  const key = bytesOf(file.key)
  const none = new Uint8Array()
  await uploads.put({
    class: 'signer',
    no: 0,
    bytes: genesis,
    sha256: toBase64url(sha256(genesis)),
    header: none,
  })
  await uploads.put({
    class: 'key',
    no: 0,
    bytes: key,
    sha256: toBase64url(sha256(key)),
    header: key.subarray(0, file.key_header_bytes),
  })
  await link.request('vault.opened', { vault: vault.id, genesis: file.genesis }, stop)
}
