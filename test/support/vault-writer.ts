/** Writes vaults for tests, straight from shared/format: several backups, small packs and segments, odd trees. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { makeId } from '#shared/ids.ts'
import { toBase64url, toHex } from '#shared/format/bytes.ts'
import {
  type Identity,
  makeIdentity,
  makeSigningKey,
  type RecipientSet,
} from '#shared/format/keys.ts'
import { recordKey, secretKey, signerKey } from '#shared/format/layout.ts'
import type { Locator } from '#shared/format/locator.ts'
import { encodeRecord, type RecordBody } from '#shared/format/record.ts'
import { encodeGenesis, encodeSigner, genesisFingerprint } from '#shared/format/signers.ts'
import { deriveKeys, encodeVaultSecret } from '#shared/format/vault-secret.ts'
import { KiB } from '#shared/units.ts'
import type { Random } from '#shared/world.ts'
import { createPackStore, hash64, type PackStore, sealWith } from './vault-packs.ts'
import { type TestEntry, type TreeOptions, writeTree, type WrittenTree } from './vault-tree.ts'

export type WriterOptions = TreeOptions & {
  readonly random: Random
  /** Bytes of frames in a pack. */
  readonly packTarget?: number
  /** Pack numbers are up to this far apart, so that the pack table has several leaves. */
  readonly stride?: number
}

export type WrittenBackup = WrittenTree & {
  readonly key: string
  readonly backup: string
  /** Number of the key that signed it. */
  readonly signer: number
}

export type BackupOptions = TreeOptions & {
  readonly change?: (body: RecordBody) => RecordBody
  /** Signed by the key of this place in the chain, not by the last one. */
  readonly signer?: number
}

export type VaultWriter = {
  readonly vault: string
  readonly job: string
  readonly identity: Identity
  readonly recovery: Identity
  readonly list: Identity
  readonly idKey: Uint8Array
  readonly fingerprint: string
  readonly objects: Map<string, Uint8Array>
  readonly store: PackStore
  backup(entries: readonly TestEntry[], how?: BackupOptions): WrittenBackup
  nextSigner(): void
  nextSecret(): void
  writeTo(folder: string): void
}

const START = Date.UTC(2026, 0, 2, 3, 4)

export const createVaultWriter = (options: WriterOptions): VaultWriter => {
  const { random } = options
  const identity = makeIdentity(random(32))
  const recovery = makeIdentity(random(32))
  const list = makeIdentity(random(32))
  const organization = makeSigningKey(random(32))
  let agent = makeSigningKey(random(32))
  const agents = [agent]
  const vault = makeId(START, random(10))
  const job = makeId(START, random(10))
  const recipients: RecipientSet = {
    content: [identity.recipient.text],
    recovery: [recovery.recipient.text],
    list: [list.recipient.text],
  }
  const content = [identity.recipient, recovery.recipient]
  const store = createPackStore({
    vault,
    random,
    recipients: { pack: content, tree: [...content, list.recipient] },
    target: options.packTarget ?? 256 * KiB,
    stride: options.stride ?? 1,
  })
  const { objects } = store
  const secret = random(32)
  const keys = deriveKeys(secret)
  const genesis = encodeGenesis(
    {
      vault,
      recipients,
      agentKey: toBase64url(agent.publicKey),
      organizationKey: toBase64url(organization.publicKey),
      created: START,
    },
    (message) => agent.sign(message),
  )
  objects.set(signerKey(vault, 0, toHex(random(16))), genesis)
  let head = genesisFingerprint(genesis)
  let signers = 1
  let secrets = 0
  const nextSecret = (): void => {
    const { bytes } = sealWith(random, content, encodeVaultSecret(vault, secret))
    objects.set(secretKey(vault, secrets, toHex(random(16))), bytes)
    secrets += 1
  }
  nextSecret()
  const blobs = new Map<string, Locator>()
  const segments = new Map<string, Locator>()
  let sequence = 0
  let previous: string | null = null

  const writer: VaultWriter = {
    vault,
    job,
    identity,
    recovery,
    list,
    idKey: keys.idKey,
    fingerprint: head,
    objects,
    store,
    nextSecret,
    nextSigner: () => {
      const next = makeSigningKey(random(32))
      const bytes = encodeSigner(
        {
          vault,
          number: signers,
          previous: head,
          recipients,
          agentKey: toBase64url(next.publicKey),
          created: START,
        },
        (message) => agent.sign(message),
      )
      objects.set(signerKey(vault, signers, toHex(random(16))), bytes)
      head = hash64(bytes)
      signers += 1
      agent = next
      agents.push(next)
    },
    backup: (entries, how = {}) => {
      sequence += 1
      const tree = writeTree(
        { options: { ...options, ...how }, store, idKey: keys.idKey, blobs, segments },
        entries,
      )
      const started = START + sequence * 3_600_000
      const backup = makeId(started, random(10))
      const fresh: RecordBody = {
        format: 1,
        requires: [],
        vault,
        job,
        backup,
        sequence,
        previous,
        kept: [[1, sequence]],
        host: { hostname: 'test', os: 'linux', kernel: '6', arch: 'x64', agent: '0' },
        sources: [{ type: 'files', paths: ['/'] }],
        started,
        completed: started + 1000,
        counts: { files: 0, directories: 0, others: 0, changed: 0, unchanged: 0, skipped: 0 },
        bytes: { source: 0, read: 0, new: 0, stored: 0 },
        errors: { count: 0, first: [] },
        fence: tree.fenceRoot,
        packs: tree.tableRoot,
      }
      const body = how.change?.(fresh) ?? fresh
      const signer = how.signer ?? signers - 1
      const plain = encodeRecord(body, (message) => (agents[signer] ?? agent).sign(message))
      const { bytes } = sealWith(random, [...content, list.recipient], plain)
      const key = recordKey(vault, started, backup)
      objects.set(key, bytes)
      previous = hash64(bytes)
      return { key, backup, signer, ...tree }
    },
    writeTo: (folder) => {
      for (const [key, bytes] of objects) {
        mkdirSync(dirname(join(folder, key)), { recursive: true })
        writeFileSync(join(folder, key), bytes)
      }
    },
  }
  return writer
}
