import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { makeIdentity, parseIdentityFile } from '#shared/format/keys.ts'
import { formatKit, parseKit, type RecoveryKit } from '#shared/format/recovery-kit.ts'

const kit = (storage: RecoveryKit['storage']): RecoveryKit => ({
  organization: 'default',
  organizationId: '01a1fc00-5afd-743e-9e16-3c067190de0b',
  madeAt: '2026-11-21T02:47:24.157Z',
  identity: makeIdentity(randomBytes(32)).text,
  signingSeed: Uint8Array.from(randomBytes(32)),
  storage,
})

const STORAGE = { endpoint: 'http://127.0.0.1:8421', region: 'r', bucket: 'b', prefix: '' }

test('a kit comes back as it was, with and without a storage', () => {
  for (const storage of [null, STORAGE, { ...STORAGE, prefix: 'a/b' }]) {
    const made = kit(storage)
    expect(parseKit(formatKit(made))).toEqual(made)
  }
})

test('a kit is an age identity file with one identity, and fits into 80 columns', () => {
  const made = kit(STORAGE)
  const text = formatKit(made)
  expect(parseIdentityFile(text).map((one) => one.text)).toEqual([made.identity])
  expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
})

test('what an editor does to a text does not matter', () => {
  const made = kit(STORAGE)
  const edited = `\r\n  ${formatKit(made)
    .split('\n')
    .map((line) => `  ${line.trimEnd()}  `)
    .join('\r\n')}`
  expect(parseKit(edited)).toEqual(made)
})

test('a kit that was copied in part or wrongly is refused', () => {
  const text = formatKit(kit(STORAGE))
  const without = (part: string): string =>
    text
      .split('\n')
      .filter((line) => !line.includes(part))
      .join('\n')
  for (const part of ['AGE-SECRET-KEY', 'SIGNING-KEY', 'organization id', 'storage bucket'])
    expect(() => parseKit(without(part))).toThrow()
  const at = text.indexOf('AGE-SECRET-KEY-1') + 30
  const other = text[at] === 'Q' ? 'P' : 'Q'
  expect(() => parseKit(text.slice(0, at) + other + text.slice(at + 1))).toThrow()
})
