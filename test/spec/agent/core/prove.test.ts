import { expect, test } from 'vitest'
import { proofOf } from '#agent/core/prove.ts'
import { verifySignature, makeSigningKey } from '#shared/format/keys.ts'
import { parseBase64url } from '#shared/format/bytes.ts'
import { openProof } from '#shared/protocol/restore-orders.ts'

const signer = makeSigningKey(Buffer.alloc(32, 7))
const order = {
  type: 'open.prove',
  id: '019a0000-0000-7000-8000-000000000001',
  request: '019a0000-0000-7000-8000-000000000002',
  purpose: 'restore',
  backup: '019a0000-0000-7000-8000-000000000003',
  packs_sha256: Buffer.alloc(32, 1).toString('base64url'),
  expires_at: 1_790_000_000_000,
} as const

test('an agent signs that it asks for a restore, with its own box key', () => {
  const proof = proofOf(order, { signer, boxPublic: 'mine' })
  const signature = parseBase64url(proof ?? '', 64) ?? new Uint8Array()
  const signed = (boxKey: string): boolean =>
    verifySignature(signer.publicKey, openProof(order, boxKey), signature)
  expect([signed('mine'), signed('another')]).toEqual([true, false])
})

test.each(['download', 'verify', 'enrol', ''])('an agent does not sign for "%s"', (purpose) => {
  expect(proofOf({ ...order, purpose }, { signer, boxPublic: 'mine' })).toBe(null)
})
