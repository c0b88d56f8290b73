/** The vault secret: 32 random bytes, the root of what names and cuts content. FORMAT.md, "Vault secret". */
import { hkdfSync } from 'node:crypto'
import { fail } from '../errors.ts'
import { parser, Type } from '../schema.ts'
import { parseBase64url, toBase64url, utf8 } from './bytes.ts'
import { bytes32, decodeJson, uuid, whole } from './json.ts'
import { checkReadable, FORMAT } from './version.ts'

export type VaultKeys = {
  /** HMAC-SHA-256 key of blob ids. Also given to openers. */
  readonly idKey: Uint8Array
  /** Gear values of the chunker. Never leaves the agent and those who hold the secret. */
  readonly chunkerKey: Uint8Array
  /** Places where trees and content lists are cut. */
  readonly segmentKey: Uint8Array
}

const derive = (secret: Uint8Array, label: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(), `holdfast/vault/v1/${label}`, 32))

/** The working keys of a vault, 32 bytes each: HKDF-SHA-256, empty salt, one label each. */
export const deriveKeys = (secret: Uint8Array): VaultKeys => {
  if (secret.length !== 32) throw new RangeError('a vault secret has 32 bytes')
  return {
    idKey: derive(secret, 'id'),
    chunkerKey: derive(secret, 'chunker'),
    segmentKey: derive(secret, 'segment'),
  }
}

/** Plaintext of `keys/<n>-<random>.age`: one JSON line, so that `age -d | jq` shows it. */
export const encodeVaultSecret = (vault: string, secret: Uint8Array): Uint8Array => {
  if (secret.length !== 32) throw new RangeError('a vault secret has 32 bytes')
  return utf8(`${JSON.stringify({ format: FORMAT, vault, secret: toBase64url(secret) })}\n`)
}

const parse = parser(Type.Object({ format: whole, vault: uuid, secret: bytes32 }))

/** The secret of `vault` from that plaintext. `DAMAGED` when it is malformed or another vault's. */
export const decodeVaultSecret = (bytes: Uint8Array, vault: string): Uint8Array => {
  const what = 'The vault secret'
  const body = decodeJson(bytes, { what, maxBytes: 4096, parse })
  checkReadable(what, body.format, [])
  const secret = parseBase64url(body.secret, 32)
  if (secret === null || body.vault !== vault) {
    throw fail('DAMAGED', { what, problem: 'it is of another vault' })
  }
  return secret
}
