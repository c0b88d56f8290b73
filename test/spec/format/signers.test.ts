import { describe, expect, test } from 'vitest'
import { Failure } from '#shared/errors.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { makeSigningKey, type SigningKey } from '#shared/format/keys.ts'
import { encodeSignedLines } from '#shared/format/signed-lines.ts'
import {
  encodeGenesis,
  encodeSigner,
  genesisFingerprint,
  type Signer,
  verifyChain,
} from '#shared/format/signers.ts'
import { identityOf, secretOf } from '../../support/age-material.ts'

const vault = '01939a2f-7c00-7abc-8def-0123456789ab'
const elsewhere = '01939a2f-7c00-7abc-8def-0123456789ac'
const keyOf = (name: string): SigningKey => makeSigningKey(secretOf(`signer ${name}`))
const agents = [keyOf('agent 0'), keyOf('agent 1'), keyOf('agent 2')] as const
const organization = keyOf('organization')
const thief = keyOf('thief')
const text = (key: SigningKey): string => toBase64url(key.publicKey)

const recipients = {
  content: [identityOf('content').recipient.text],
  recovery: [identityOf('recovery').recipient.text],
  list: [identityOf('list').recipient.text],
}
const body = {
  vault,
  recipients,
  agentKey: text(agents[0]),
  organizationKey: text(organization),
  created: 1_770_091_506_789,
}
const genesis = encodeGenesis(body, agents[0].sign)
const fingerprint = genesisFingerprint(genesis)

const signer = (change: Partial<Signer>, by: SigningKey): Uint8Array =>
  encodeSigner(
    {
      vault,
      number: 1,
      previous: fingerprint,
      recipients,
      agentKey: text(agents[1]),
      created: 1_770_091_506_790,
      ...change,
    },
    by.sign,
  )
const first = signer({}, agents[0])
const second = signer(
  {
    number: 2,
    previous: genesisFingerprint(first),
    agentKey: text(agents[2]),
    recipients: { ...recipients, list: [] },
  },
  organization,
)

const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'verified'
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}
const chainCode = (files: readonly Uint8Array[]): string =>
  codeOf(() => verifyChain(genesis, files))
const edited = (file: Uint8Array, from: string, to: string): Uint8Array =>
  Buffer.from(Buffer.from(file).toString().replace(from, to))

describe('the signer chain', () => {
  test('begins at the genesis', () => {
    const chain = verifyChain(genesis, [], fingerprint)
    expect(chain.vault).toBe(vault)
    expect(chain.recipients).toEqual(recipients)
    expect(chain.signers.map(toBase64url)).toEqual([text(agents[0])])
    expect(toBase64url(chain.organizationKey)).toBe(text(organization))
    expect(chain.head).toBe(fingerprint)
  })

  test('goes on by the key before it, or by the organization, and the last set of recipients counts', () => {
    const chain = verifyChain(genesis, [first, second])
    expect(chain.signers.map(toBase64url)).toEqual(agents.map(text))
    expect(chain.recipients.list).toEqual([])
    expect(chain.head).toBe(genesisFingerprint(second))
  })

  test('with another genesis than the expected one is refused', () => {
    const forged = encodeGenesis({ ...body, agentKey: text(thief) }, thief.sign)
    expect(codeOf(() => verifyChain(forged, []))).toBe('verified')
    expect(codeOf(() => verifyChain(forged, [], fingerprint))).toBe('DAMAGED')
  })

  test('with a file missing, doubled, turned round or of another chain is refused', () => {
    expect(chainCode([first, second])).toBe('verified')
    expect(chainCode([second])).toBe('DAMAGED')
    expect(chainCode([second, first])).toBe('DAMAGED')
    expect(chainCode([first, first])).toBe('DAMAGED')
    expect(chainCode([genesis])).toBe('DAMAGED')
    expect(codeOf(() => verifyChain(first, []))).toBe('DAMAGED')
    const other = encodeGenesis({ ...body, created: 1 }, agents[0].sign)
    expect(codeOf(() => verifyChain(other, [first]))).toBe('DAMAGED')
  })

  test('with a signer signed by anybody else is refused, by itself or by a key replaced before', () => {
    expect(chainCode([signer({}, thief)])).toBe('DAMAGED')
    expect(chainCode([signer({ agentKey: text(thief) }, thief)])).toBe('DAMAGED')
    const late = signer({ number: 2, previous: genesisFingerprint(first) }, agents[0])
    expect(chainCode([first, late])).toBe('DAMAGED')
  })

  test('with a signer of another vault or number is refused', () => {
    expect(chainCode([signer({ vault: elsewhere }, agents[0])])).toBe('DAMAGED')
    expect(chainCode([signer({ number: 2 }, agents[0])])).toBe('DAMAGED')
    expect(chainCode([signer({ previous: text(thief) }, agents[0])])).toBe('DAMAGED')
  })

  test('with recipients that are none, or without a content recipient, is refused', () => {
    const bad = { ...recipients, list: [recipients.list[0]?.replace('age1', 'age2') ?? ''] }
    expect(chainCode([signer({ recipients: bad }, agents[0])])).toBe('DAMAGED')
    expect(chainCode([signer({ recipients: { ...recipients, content: [] } }, agents[0])])).toBe(
      'DAMAGED',
    )
  })

  test('with any byte of the genesis changed is refused', () => {
    for (let at = 0; at < genesis.length; at += 1) {
      const bad = Uint8Array.from(genesis)
      bad[at] = (bad[at] ?? 0) ^ 1
      expect([at, codeOf(() => verifyChain(bad, []))]).not.toEqual([at, 'verified'])
    }
  })

  test('is refused with more or fewer lines, other line ends or a signature that is not canonical', () => {
    const file = Buffer.from(genesis).toString()
    const forms = [
      file.slice(0, -1),
      `${file}\n`,
      `${file}${file}`,
      file.replaceAll('\n', '\r\n'),
      file.replace('{"signature":"', '{"signature": "'),
      file.replace(
        /(.)"\}\n$/,
        (_, last: string) => `${String.fromCharCode(last.charCodeAt(0) + 1)}"}\n`,
      ),
    ]
    for (const form of forms) {
      expect(codeOf(() => verifyChain(Buffer.from(form), []))).toBe('DAMAGED')
    }
  })

  test('of a newer format, or that needs what is not known, is unsupported', () => {
    expect(codeOf(() => verifyChain(edited(genesis, '"format":1', '"format":2'), []))).toBe(
      'UNSUPPORTED',
    )
    const line = JSON.stringify({ format: 1, requires: ['later'] })
    const later = encodeSignedLines('holdfast/genesis/v1', line, agents[0].sign)
    expect(codeOf(() => verifyChain(later, []))).toBe('UNSUPPORTED')
  })

  test('with a file of more than 16 KiB is refused', () => {
    const line = JSON.stringify({ format: 1, filler: 'x'.repeat(20_000) })
    const long = encodeSignedLines('holdfast/genesis/v1', line, agents[0].sign)
    expect(codeOf(() => verifyChain(long, []))).toBe('DAMAGED')
  })
})
