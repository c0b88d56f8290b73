import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemRandom } from '#server/io/random.ts'
import {
  type MasterKeySource,
  hashToken,
  loadMasterKey,
  makeToken,
  sameBytes,
  sealing,
} from '#server/io/secrets.ts'
import { type Secret, reveal } from '#shared/secret.ts'

let folder = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hf-secrets-'))
})

afterEach(async () => rm(folder, { recursive: true, force: true }))

const load = async (source: Partial<MasterKeySource> = {}): Promise<Secret> =>
  loadMasterKey({ file: join(folder, 'deep/master.key'), create: true, ...source }, systemRandom)

test('the master key is made once, for its owner only, and found again', async () => {
  const first = await load()
  const second = await load({ create: false })
  expect(reveal(second)).toEqual(reveal(first))
  expect(reveal(first)).toHaveLength(32)
  expect((await stat(join(folder, 'deep/master.key'))).mode & 0o777).toBe(0o600)
  expect(await readdir(join(folder, 'deep'))).toEqual(['master.key'])
})

test('replicas that start at once agree on one key', async () => {
  const keys = await Promise.all(Array.from({ length: 8 }, async () => load()))
  expect(new Set(keys.map((key) => Buffer.from(reveal(key)).toString('hex'))).size).toBe(1)
})

test('a key in the environment wins and no file is made', async () => {
  const text = Buffer.alloc(32, 7).toString('base64url')
  expect(reveal(await load({ text }))).toEqual(new Uint8Array(32).fill(7))
  expect(reveal(await load({ text: `${text}=\n` }))).toEqual(new Uint8Array(32).fill(7))
  expect(await readdir(folder)).toEqual([])
})

test('a malformed key is refused by name, and never replaced or repeated', async () => {
  const good = Buffer.alloc(32, 7).toString('base64url')
  const file = join(folder, 'key')
  for (const bad of [
    '',
    'short',
    `${good}A`,
    `!${good.slice(1)}`,
    good.slice(1),
    `${good.slice(0, -1)}d`,
  ]) {
    await expect(load({ text: bad })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
      details: { field: 'HOLDFAST_MASTER_KEY' },
    })
    await writeFile(file, bad)
    await expect(load({ file })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
      details: { field: file },
    })
    expect(await readFile(file, 'utf8')).toBe(bad)
  }
})

test('a missing key is made only when that is allowed', async () => {
  await expect(load({ create: false })).rejects.toMatchObject({ code: 'VALIDATION_FAILED' })
  expect(await readdir(folder)).toEqual([])
})

test.skipIf(process.getuid?.() === 0)(
  'a key that may not be read is refused by name (needs an ordinary user)',
  async () => {
    await load()
    const file = join(folder, 'deep/master.key')
    await chmod(file, 0)
    await expect(load()).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
      details: { field: file },
    })
  },
)

test('what is sealed opens for its own place and under its own key only', async () => {
  const mine = sealing(await load(), systemRandom)
  const theirs = sealing(await load({ file: join(folder, 'other') }), systemRandom)
  const plain = new TextEncoder().encode('secret access key')
  const sealed = mine.seal('storages/1/credentials', plain)
  expect(mine.open('storages/1/credentials', sealed)).toEqual(plain)
  expect(mine.seal('storages/1/credentials', plain)).not.toEqual(sealed)
  expect(() => mine.open('storages/2/credentials', sealed)).toThrow(/damaged/)
  expect(() => theirs.open('storages/1/credentials', sealed)).toThrow(/damaged/)
})

test('a token has its form, is different each time and is found by its hash', () => {
  const { token, hash } = makeToken(systemRandom)
  expect(token).toMatch(/^hf_[A-Za-z0-9_-]{43}$/)
  expect(makeToken(systemRandom).token).not.toBe(token)
  expect(hash).toHaveLength(32)
  expect(hashToken(token)).toEqual(hash)
  for (const text of [
    '',
    'hf_',
    token.slice(0, -1),
    `${token}A`,
    `xx_${token.slice(3)}`,
    `${token}\n`,
  ])
    expect(hashToken(text)).toBeNull()
})

test('bytes are the same only when all of them are', () => {
  expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true)
  expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
  expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false)
})
