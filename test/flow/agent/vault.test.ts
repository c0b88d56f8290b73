import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toBase64url } from '#shared/format/bytes.ts'
import { makeIdentity, makeSigningKey } from '#shared/format/keys.ts'
import { verifyChain } from '#shared/format/signers.ts'
import { vaultKeys, vaultPath, type VaultOrder, type VaultParts } from '#agent/flow/vault.ts'
import { readVaultFile } from '#agent/core/state.ts'
import { stateFolder } from '#agent/io/state-folder.ts'
import { eventLoopTurn, systemClock, systemRandom } from '#agent/io/world.ts'
import { anId } from '../../support/agent-control-plane.ts'

const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-vault-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const partsOf = (): VaultParts => ({
  state: stateFolder(folder),
  world: { clock: systemClock, random: systemRandom, log, turn: eventLoopTurn },
  signer: makeSigningKey(systemRandom(32)),
  organizationKey: toBase64url(makeSigningKey(systemRandom(32)).publicKey),
})
const recipient = (): string => makeIdentity(systemRandom(32)).recipient.text
const orderOf = (): VaultOrder => ({
  id: anId(),
  is_new: true,
  recipients: { content: [recipient()], recovery: [recipient()], list: [recipient()] },
})
const genesisOf = (parts: VaultParts, id: string): ReturnType<typeof verifyChain> => {
  const file = readVaultFile(parts.state.read(vaultPath(id)) ?? new Uint8Array())
  return verifyChain(Buffer.from(file.genesis, 'base64url'), [])
}

describe('the secret of a vault', () => {
  test('is made once, and its genesis names the readers, the agent and the organization', () => {
    const parts = partsOf()
    const order = orderOf()
    const keys = vaultKeys(parts, order)
    expect(vaultKeys(parts, order)).toEqual(keys)
    expect(vaultKeys(parts, { ...order, is_new: false })).toEqual(keys)
    const chain = genesisOf(parts, order.id)
    expect(chain.recipients).toEqual(order.recipients)
    expect(toBase64url(chain.signers[0] ?? new Uint8Array())).toBe(
      toBase64url(parts.signer.publicKey),
    )
    expect(toBase64url(chain.organizationKey)).toBe(parts.organizationKey)
  })

  test('is kept when other readers are confirmed before the vault is open; the genesis is made anew', () => {
    const parts = partsOf()
    const order = orderOf()
    const keys = vaultKeys(parts, order)
    const { recipients } = orderOf()
    expect(vaultKeys(parts, { ...order, recipients })).toEqual(keys)
    expect(genesisOf(parts, order.id).recipients).toEqual(recipients)
  })

  test('is not made anew for a vault in use, nor used with another agent key', () => {
    const parts = partsOf()
    const order = { ...orderOf(), is_new: false }
    expect(() => vaultKeys(parts, order)).toThrow('not on this server')
    vaultKeys(parts, { ...order, is_new: true })
    expect(() => vaultKeys({ ...partsOf(), state: parts.state }, order)).toThrow(
      'another agent key',
    )
  })
})
