/** The frozen bytes of format version 1: names, keys, encryption, padding, signatures. See test/vectors/README.md. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { encodePreamble, open, payloadKey, seal } from '#shared/format/age.ts'
import { equalBytes, toBase64url, toHex } from '#shared/format/bytes.ts'
import {
  makeIdentity,
  makeSigningKey,
  parseIdentity,
  parseRecipient,
  type RecipientSet,
  recipientsFingerprint,
  recipientsText,
  showFingerprint,
  verifySignature,
} from '#shared/format/keys.ts'
import { formatKey, type Key, parseKey } from '#shared/format/layout.ts'
import { paddedLength, paddingFrame, padme, readTrailer } from '#shared/format/padding.ts'
import { decodeErrorList, encodeErrorList } from '#shared/format/record-errors.ts'
import { decodeRecord, encodeRecord, type RecordBody, verifyRecord } from '#shared/format/record.ts'
import {
  encodeGenesis,
  encodeSigner,
  genesisFingerprint,
  verifyChain,
} from '#shared/format/signers.ts'
import { decodeVaultSecret, deriveKeys, encodeVaultSecret } from '#shared/format/vault-secret.ts'
import { decodeFrame, frameLength, skippableFrame, storeFrame } from '#shared/format/zstd.ts'

const load = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../vectors/v1/${name}.json`, import.meta.url), 'utf8'))

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
const utf8 = (text: string): Buffer => Buffer.from(text, 'utf8')
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

/** The plaintext of the vectors: bytes 32 i to 32 i + 31 are the SHA-256 of i in decimal. */
const plain = (size: number): Buffer => {
  const blocks = Array.from({ length: Math.ceil(size / 32) }, (_, i) =>
    createHash('sha256').update(String(i)).digest(),
  )
  return Buffer.concat(blocks).subarray(0, size)
}

describe('keys', () => {
  type Keys = {
    identities: { secret_key: string; identity: string; public_key: string; recipient: string }[]
    signing: { seed: string; public_key: string; message: string; signature: string }
    recipients: { set: RecipientSet; text: string; fingerprint: string; shown: string }
  }
  const { identities, signing, recipients } = load('keys') as Keys

  test.each(identities)('$recipient is that of its secret key', (one) => {
    const identity = makeIdentity(bytes(one.secret_key))
    expect(identity.text).toBe(one.identity)
    expect(identity.recipient.text).toBe(one.recipient)
    expect(toHex(parseRecipient(one.recipient).publicKey)).toBe(one.public_key)
    expect(toHex(parseIdentity(one.identity).secretKey)).toBe(one.secret_key)
  })

  test('the signature of a seed and a message is the frozen one', () => {
    const key = makeSigningKey(bytes(signing.seed))
    expect(toHex(key.publicKey)).toBe(signing.public_key)
    expect(toHex(key.sign(bytes(signing.message)))).toBe(signing.signature)
    expect(verifySignature(key.publicKey, bytes(signing.message), bytes(signing.signature))).toBe(
      true,
    )
  })

  test('a set of recipients has one text and one fingerprint, in whatever order and however often it is given', () => {
    const { set, text, fingerprint, shown } = recipients
    const turned = { ...set, content: set.content.toReversed() }
    expect(recipientsText(set)).toBe(text)
    expect(recipientsText(turned)).toBe(text)
    expect(recipientsFingerprint(turned)).toBe(fingerprint)
    expect(showFingerprint(fingerprint)).toBe(shown)
  })
})

test('the vault secret gives the frozen keys and the frozen plaintext', () => {
  const vector = load('vault-secret') as Record<
    'vault' | 'secret' | 'id_key' | 'chunker_key' | 'segment_key' | 'plaintext',
    string
  >
  const keys = deriveKeys(bytes(vector.secret))
  expect(toHex(keys.idKey)).toBe(vector.id_key)
  expect(toHex(keys.chunkerKey)).toBe(vector.chunker_key)
  expect(toHex(keys.segmentKey)).toBe(vector.segment_key)
  expect(
    equalBytes(encodeVaultSecret(vector.vault, bytes(vector.secret)), utf8(vector.plaintext)),
  ).toBe(true)
  expect(toHex(decodeVaultSecret(utf8(vector.plaintext), vector.vault))).toBe(vector.secret)
})

describe('age', () => {
  type Age = {
    objects: {
      size: number
      identities: string[]
      file_key: string
      nonce: string
      ephemerals: string[]
      preamble: string
      payload_key: string
      object_size: number
      object_sha256: string
      object?: string
    }[]
  }
  test.each((load('age') as Age).objects)(
    'an object of $size bytes has the frozen bytes',
    (one) => {
      const identities = one.identities.map(parseIdentity)
      const parts = {
        fileKey: bytes(one.file_key),
        nonce: bytes(one.nonce),
        recipients: identities.map((identity) => identity.recipient),
        ephemerals: one.ephemerals.map(bytes),
      }
      expect(toHex(encodePreamble(parts))).toBe(one.preamble)
      expect(toHex(payloadKey(parts.fileKey, parts.nonce))).toBe(one.payload_key)
      const object = seal({ ...parts, plaintext: plain(one.size) })
      expect(object.length).toBe(one.object_size)
      expect(sha256(object)).toBe(one.object_sha256)
      if (one.object !== undefined) expect(toHex(object)).toBe(one.object)
      for (const identity of identities) {
        expect(equalBytes(open(object, [identity]), plain(one.size))).toBe(true)
      }
    },
  )
})

test('zstd frames are the frozen ones', () => {
  type Pair = { content: string; frame: string }
  type Zstd = {
    stored: Pair[]
    stored_large: { size: number; frame_size: number; frame_sha256: string }[]
    compressed: Pair[]
    skippable: { kind: number; payload: string; frame: string }[]
  }
  const vectors = load('zstd') as Zstd
  for (const { content, frame } of vectors.stored) {
    expect(toHex(storeFrame(bytes(content)))).toBe(frame)
    expect(toHex(decodeFrame(bytes(frame), 1000))).toBe(content)
  }
  for (const { size, frame_size, frame_sha256 } of vectors.stored_large) {
    const frame = storeFrame(plain(size))
    expect([frame.length, sha256(frame)]).toEqual([frame_size, frame_sha256])
    expect(equalBytes(decodeFrame(frame, size), plain(size))).toBe(true)
  }
  // How well zstd compresses may change with its version; what a frame holds may not.
  for (const { content, frame } of vectors.compressed) {
    expect(toHex(decodeFrame(bytes(frame), 1000))).toBe(content)
  }
  for (const { kind, payload, frame } of vectors.skippable) {
    expect(toHex(skippableFrame(bytes(payload), kind))).toBe(frame)
  }
})

test('padding and trailer are the frozen ones', () => {
  type Padding = {
    padme: [number, number][]
    lengths: [number, number][]
    trailers: {
      content_length: number
      offset: number
      length: number
      frame_size: number
      header: string
      trailer: string
      frame_sha256: string
    }[]
  }
  const vectors = load('padding') as Padding
  for (const [size, padded] of vectors.padme) expect([size, padme(size)]).toEqual([size, padded])
  for (const [size, padded] of vectors.lengths) {
    expect([size, paddedLength(size)]).toEqual([size, padded])
  }
  for (const one of vectors.trailers) {
    const place = { offset: one.offset, length: one.length }
    const frame = paddingFrame(one.content_length, place)
    expect(frame.length).toBe(one.frame_size)
    expect(toHex(frame.subarray(0, 8))).toBe(one.header)
    expect(toHex(frame.subarray(-16))).toBe(one.trailer)
    expect(sha256(frame)).toBe(one.frame_sha256)
    expect(readTrailer(bytes(one.trailer), one.content_length + one.frame_size)).toEqual(place)
  }
})

describe('object keys', () => {
  const { keys, refused } = load('layout') as {
    keys: { key: string; says: Key }[]
    refused: string[]
  }

  test.each(keys)('$key is built and parsed', ({ key, says }) => {
    expect(formatKey(says)).toBe(key)
    expect(parseKey(key)).toEqual(says)
  })

  test.each(refused)('%j is refused', (key) => {
    expect(parseKey(key)).toBeNull()
  })
})

test('the signer chain has the frozen bytes and verifies', () => {
  type Signers = {
    agent_seed: string
    next_agent_seed: string
    organization_seed: string
    genesis: string
    fingerprint: string
    signers: string[]
    head: string
    agent_keys: string[]
  }
  const vector = load('signers') as Signers
  const signers = vector.signers.map(utf8)
  const chain = verifyChain(utf8(vector.genesis), signers, vector.fingerprint)
  expect(chain.fingerprint).toBe(vector.fingerprint)
  expect(chain.head).toBe(vector.head)
  expect(chain.signers.map(toBase64url)).toEqual(vector.agent_keys)

  const agent = makeSigningKey(bytes(vector.agent_seed))
  const next = makeSigningKey(bytes(vector.next_agent_seed))
  const organization = makeSigningKey(bytes(vector.organization_seed))
  const { vault, recipients } = verifyChain(utf8(vector.genesis), [])
  const genesis = encodeGenesis(
    {
      vault,
      recipients,
      agentKey: toBase64url(agent.publicKey),
      organizationKey: toBase64url(organization.publicKey),
      created: 1770091506789,
    },
    agent.sign,
  )
  const first = encodeSigner(
    {
      vault,
      number: 1,
      previous: genesisFingerprint(genesis),
      recipients,
      agentKey: toBase64url(next.publicKey),
      created: 1770091506790,
    },
    agent.sign,
  )
  expect(Buffer.from(genesis).toString()).toBe(vector.genesis)
  expect(Buffer.from(first).toString()).toBe(vector.signers[0])
})

test('a backup record has the frozen lines, and the frozen frame reads as its body', () => {
  type Vector = {
    agent_seed: string
    body: RecordBody
    lines: string
    frame: string
    plaintext_size: number
    error_list: string
  }
  const vector = load('record') as Vector
  const agent = makeSigningKey(bytes(vector.agent_seed))
  const ours = encodeRecord(vector.body, agent.sign)
  expect(ours.length).toBe(vector.plaintext_size)
  const frame = ours.subarray(0, frameLength(ours))
  expect(Buffer.from(decodeFrame(frame, 65_536)).toString()).toBe(vector.lines)

  const place = { offset: 0, length: 0 }
  const frozen = bytes(vector.frame)
  const record = decodeRecord(Buffer.concat([frozen, paddingFrame(frozen.length, place)]))
  expect(record.body).toEqual(vector.body)
  expect(verifyRecord(record, { vault: vector.body.vault, signers: [agent.publicKey] })).toBe(0)

  const { first } = vector.body.errors
  expect(Buffer.from(encodeErrorList(first)).toString()).toBe(vector.error_list)
  expect(decodeErrorList(utf8(vector.error_list))).toEqual(first)
})
