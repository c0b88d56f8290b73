/** The chain of agent signing keys of a vault; number 0 is the genesis. FORMAT.md, "Genesis and signers". */
import { fail } from '../errors.ts'
import { parser, Type } from '../schema.ts'
import type { Ms } from '../units.ts'
import { parseBase64url, toBase64url } from './bytes.ts'
import { bytes32, decodeJson, text, uuid, whole } from './json.ts'
import { parseRecipient, type RecipientSet, sha256 } from './keys.ts'
import {
  decodeSignedLines,
  encodeSignedLines,
  isSignedBy,
  type Sign,
  type SignedLines,
} from './signed-lines.ts'
import { checkReadable, FORMAT } from './version.ts'

export type Genesis = {
  readonly vault: string
  readonly recipients: RecipientSet
  /** Ed25519 public key of the agent (base64url): it signs this genesis and the vault's records. */
  readonly agentKey: string
  /** Ed25519 public key of the organization (base64url): it may sign the next signer as well. */
  readonly organizationKey: string
  readonly created: Ms
}

/** The next agent key, or the same one with another set of recipients. */
export type Signer = {
  readonly vault: string
  /** Place in the chain, 1 or more. */
  readonly number: number
  /** base64url SHA-256 of the file before it. */
  readonly previous: string
  /** The set in force from here on. */
  readonly recipients: RecipientSet
  readonly agentKey: string
  readonly created: Ms
}

export type Chain = {
  readonly vault: string
  /** base64url SHA-256 of the genesis. */
  readonly fingerprint: string
  /** base64url SHA-256 of the last file: `previous` of the next one. */
  readonly head: string
  /** The set in force after the last signer. */
  readonly recipients: RecipientSet
  /** Agent keys by number, 32 bytes each; the last one is in office. */
  readonly signers: readonly Uint8Array[]
  readonly organizationKey: Uint8Array
}

const GENESIS_LABEL = 'holdfast/genesis/v1'
const SIGNER_LABEL = 'holdfast/signer/v1'
export const MAX_FILE = 16 * 1024

const recipient = text(62)
const recipientSet = Type.Object({
  content: Type.Array(recipient, { minItems: 1, maxItems: 8 }),
  recovery: Type.Array(recipient, { maxItems: 8 }),
  list: Type.Array(recipient, { maxItems: 1 }),
})

const Common = { vault: uuid, recipients: recipientSet, agent_key: bytes32, created: whole }
const GenesisBody = Type.Object({ ...Common, organization_key: bytes32 })
const SignerBody = Type.Object({
  ...Common,
  number: Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 }),
  previous: bytes32,
})

const parseHead = parser(
  Type.Object({ format: whole, requires: Type.Optional(Type.Array(text(64), { maxItems: 64 })) }),
)
const parseGenesisBody = parser(GenesisBody)
const parseSignerBody = parser(SignerBody)

const setOf = (recipients: RecipientSet): RecipientSet => ({
  content: recipients.content,
  recovery: recipients.recovery,
  list: recipients.list,
})

/** The genesis file. `sign` is the agent key's; the result is at most 16 KiB. */
export const encodeGenesis = (genesis: Genesis, sign: Sign): Uint8Array => {
  const body = {
    format: FORMAT,
    vault: genesis.vault,
    recipients: setOf(genesis.recipients),
    agent_key: genesis.agentKey,
    organization_key: genesis.organizationKey,
    created: genesis.created,
  }
  return encodeSignedLines(GENESIS_LABEL, JSON.stringify(body), sign)
}

/** base64url SHA-256 of the file's bytes: what a recovery kit prints for a vault. */
export const genesisFingerprint = (bytes: Uint8Array): string => toBase64url(sha256(bytes))

/** The next file of the chain. `sign` is that of the agent key before it, or the organization's. */
export const encodeSigner = (signer: Signer, sign: Sign): Uint8Array => {
  const body = {
    format: FORMAT,
    vault: signer.vault,
    number: signer.number,
    previous: signer.previous,
    recipients: setOf(signer.recipients),
    agent_key: signer.agentKey,
    created: signer.created,
  }
  return encodeSignedLines(SIGNER_LABEL, JSON.stringify(body), sign)
}

const damaged = (number: number, problem: string): Error =>
  fail('DAMAGED', { what: `Signer ${String(number)} of the vault`, problem })

/** Refuses a format or feature that is not known before the rest is looked at. */
const decode = (label: string, bytes: Uint8Array, number: number): SignedLines => {
  if (bytes.length > MAX_FILE) throw damaged(number, 'it is longer than 16 KiB')
  const what = `Signer ${String(number)} of the vault`
  const signed = decodeSignedLines(label, bytes, what)
  const head = decodeJson(signed.line, { what, maxBytes: MAX_FILE, parse: parseHead })
  checkReadable(what, head.format, head.requires ?? [])
  return signed
}

const key32 = (encoded: string): Uint8Array => parseBase64url(encoded, 32) ?? new Uint8Array()

const checkRecipients = (recipients: RecipientSet, number: number): void => {
  for (const one of [...recipients.content, ...recipients.recovery, ...recipients.list]) {
    try {
      parseRecipient(one)
    } catch (error) {
      throw fail(
        'DAMAGED',
        { what: `Signer ${String(number)} of the vault`, problem: 'a recipient is none' },
        { cause: error },
      )
    }
  }
}

const beginChain = (bytes: Uint8Array): Chain => {
  const signed = decode(GENESIS_LABEL, bytes, 0)
  const what = 'The genesis of the vault'
  const body = decodeJson(signed.line, { what, maxBytes: MAX_FILE, parse: parseGenesisBody })
  const agentKey = key32(body.agent_key)
  if (!isSignedBy(signed, agentKey)) throw damaged(0, 'its signature does not match')
  checkRecipients(body.recipients, 0)
  const fingerprint = genesisFingerprint(bytes)
  return {
    vault: body.vault,
    fingerprint,
    head: fingerprint,
    recipients: setOf(body.recipients),
    signers: [agentKey],
    organizationKey: key32(body.organization_key),
  }
}

const extendChain = (chain: Chain, bytes: Uint8Array): Chain => {
  const number = chain.signers.length
  const signed = decode(SIGNER_LABEL, bytes, number)
  const what = `Signer ${String(number)} of the vault`
  const body = decodeJson(signed.line, { what, maxBytes: MAX_FILE, parse: parseSignerBody })
  if (body.vault !== chain.vault) throw damaged(number, 'it is of another vault')
  if (body.number !== number) throw damaged(number, `it says that it is number ${body.number}`)
  if (body.previous !== chain.head) throw damaged(number, 'it does not follow the one before')
  const before = chain.signers.at(-1) ?? new Uint8Array()
  if (!isSignedBy(signed, before) && !isSignedBy(signed, chain.organizationKey)) {
    throw damaged(number, 'its signature does not match')
  }
  checkRecipients(body.recipients, number)
  return {
    ...chain,
    head: toBase64url(sha256(bytes)),
    recipients: setOf(body.recipients),
    signers: [...chain.signers, key32(body.agent_key)],
  }
}

/**
 * Verifies a vault's chain: the genesis, then signers 1, 2, … in this order. `DAMAGED` naming the number of the first
 * file that is malformed, of another vault, out of its place, or not signed as it must be. `expectedFingerprint` is
 * that of the recovery kit; without it the caller must say "trust on first use".
 */
export const verifyChain = (
  genesis: Uint8Array,
  signers: readonly Uint8Array[],
  expectedFingerprint?: string,
): Chain => {
  if (expectedFingerprint !== undefined && genesisFingerprint(genesis) !== expectedFingerprint) {
    throw damaged(0, 'its fingerprint is not the expected one')
  }
  return signers.reduce(extendChain, beginChain(genesis))
}
