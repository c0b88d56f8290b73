import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Parts } from '#shared/api/downloads.ts'
import { fileId } from '#shared/api/file-ids.ts'
import { boxPublicKey } from '#shared/format/keys.ts'
import { KiB } from '#shared/units.ts'
import { type Answer, dataOf, errorOf } from '../../../support/answers.ts'
import { addToken, newId } from '../../../support/http-objects.ts'
import { readParts } from '../../../support/parts-client.ts'
import { seeded } from '../../../support/seeded.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'

let world: ReadingWorld
beforeAll(async () => {
  world = await readingWorld()
})
afterAll(async () => world.close())

const opener = Uint8Array.from(randomBytes(32))
const openerKey = Buffer.from(boxPublicKey(opener)).toString('base64url')

const ask = async (id: string, body: object, token?: string): Promise<Answer> =>
  world.api.call('POST', `/v1/backups/${id}/download`, {
    body: { format: 'parts', opener_key: openerKey, ...body },
    ...(token === undefined ? {} : { token }),
  })

const partsOf = (answer: Answer): Parts => {
  expect(answer.status).toBe(200)
  return dataOf(answer) as unknown as Parts
}

const random = seeded('download parts').bytes
const contents = new Map<string, Buffer>([
  ['/d/small', Buffer.from('small')],
  ['/d/empty', Buffer.alloc(0)],
  ['/d/large', Buffer.from(random(900 * KiB))],
  ['/d/sub/other', Buffer.from(random(70 * KiB))],
  ['/d/sub/\xff odd', Buffer.from('odd')],
  ['/e/last', Buffer.from(random(200 * KiB))],
])
const entries = [
  directory('/d'),
  directory('/d/sub'),
  directory('/e'),
  ...[...contents].map(([path, data]) => file(path, data)),
]
const small = {
  entriesPerSegment: 2,
  itemsPerFence: 2,
  packTarget: 128 * KiB,
  chunk: 8 * KiB,
  frameTarget: 32 * KiB,
  stride: 300,
} as const

const bytesIn = (list: Parts['parts']): number =>
  list.reduce((sum, { ranges }) => sum + ranges.reduce((all, [from, to]) => all + to - from, 0), 0)

describe.each(['managed', 'customer'] as const)('parts under a %s key', (key) => {
  let vault: StoredVault
  let id: string
  const keys = (): Parameters<typeof readParts>[2][1] => ({
    secret: opener,
    ...(key === 'customer' ? { identity: vault.writer.identity } : {}),
  })
  beforeAll(async () => {
    vault = await storeVault(world, { ...small, key })
    await vault.backup(entries.slice(0, 5))
    id = (await vault.backup(entries)).id
  })

  test('of everything give every file, verified by whoever asks', async () => {
    const parts = partsOf(await ask(id, {}))
    const wish = { paths: [], globs: [] }
    const read = await readParts(parts, vault.writer.fingerprint, [wish, keys()])
    expect(Object.fromEntries(read)).toEqual(Object.fromEntries(contents))
    expect(parts.files_complete).toBe(true)
    expect(parts.files.map(({ path, size }) => [path, size])).toEqual(
      expect.arrayContaining([
        ['/d/large', 900 * KiB],
        ['/d/sub/\ufffd odd', 3],
      ]) as unknown[],
    )
    expect(parts.files).toHaveLength(contents.size)
    expect(parts.lost).toEqual([])
  })

  test.each([
    [['/d/small'], ['/d/small']],
    [['/d/sub'], ['/d/sub/other', '/d/sub/\xff odd']],
    [
      [fileId('/d/sub/\xff odd'), '/e'],
      ['/d/sub/\xff odd', '/e/last'],
    ],
    [['/d/large'], ['/d/large']],
    [['/d/empty'], ['/d/empty']],
  ])('of %j give just that, in ranges that are enough', async (files, paths) => {
    const parts = partsOf(await ask(id, { files }))
    const wish = {
      paths: files.map((name) => (name.startsWith('/') ? name : '/d/sub/\xff odd')),
      globs: [],
    }
    const read = await readParts(parts, vault.writer.fingerprint, [wish, keys()])
    expect([...read.keys()].sort()).toEqual([...paths].sort())
    for (const path of paths) expect(read.get(path)?.equals(contents.get(path)!)).toBe(true)
    expect(parts.files.map((one) => one.id).sort()).toEqual(paths.map(fileId).sort())
  })

  test('of a small file are a small part of the backup', async () => {
    const all = partsOf(await ask(id, {}))
    const one = partsOf(await ask(id, { files: ['/d/small'] }))
    expect(one.parts).toHaveLength(1)
    expect(bytesIn(one.parts)).toBeLessThan(bytesIn(all.parts) / 4)
    expect(one.trees.length).toBeLessThan(all.trees.length)
    expect(partsOf(await ask(id, { files: ['/d/empty'] })).parts).toEqual([])
  })

  test('of a glob give what it fits', async () => {
    const parts = partsOf(await ask(id, { files: ['/d/s*'] }))
    expect(parts.files.map(({ path }) => path)).toEqual([
      '/d/small',
      '/d/sub/other',
      '/d/sub/\ufffd odd',
    ])
  })

  test(
    key === 'managed'
      ? 'carry every key, sealed to the opener'
      : 'carry no key of content, and those of trees',
    async () => {
      const parts = partsOf(await ask(id, {}))
      for (const part of parts.parts)
        expect(part.sealed_file_key !== undefined).toBe(key === 'managed')
      for (const part of [...parts.trees, parts.record]) expect(part.sealed_file_key).toBeDefined()
      expect(parts.sealed_id_key !== undefined).toBe(key === 'managed')
      expect(parts.secret?.sealed_file_key).toBeUndefined()
      const wish = { paths: [], globs: [] }
      const other = { ...keys(), secret: Uint8Array.from(randomBytes(32)) }
      await expect(readParts(parts, vault.writer.fingerprint, [wish, other])).rejects.toMatchObject(
        { code: 'DAMAGED' },
      )
    },
  )

  test('are refused where a wish fits nothing', async () => {
    for (const files of [['/nothing'], ['/d/small', '/d/small/below'], ['/d/*.zip']]) {
      const answer = await ask(id, { files })
      expect([answer.status, errorOf(answer).code]).toEqual([404, 'RESOURCE_NOT_FOUND'])
    }
  })
})

describe('parts', () => {
  let vault: StoredVault
  let id: string
  beforeAll(async () => {
    vault = await storeVault(world, small)
    id = (await vault.backup(entries)).id
  })

  test('live as long as was asked for', async () => {
    const before = Date.now()
    const parts = partsOf(await ask(id, { files: ['/d/small'], expires_in: 90 }))
    const life = Date.parse(parts.expires_at) - before
    expect(life).toBeGreaterThan(89_000)
    expect(life).toBeLessThan(120_000)
    expect(parts.record.url).toContain('X-Amz-Expires=90&')
  })

  test.each([
    [{ opener_key: undefined }, 'opener_key'],
    [{ opener_key: 'short' }, 'opener_key'],
    [{ opener_key: 'A'.repeat(43) }, 'opener_key'],
    [{ opener_key: `${'A'.repeat(42)}B` }, 'opener_key'],
    [{ expires_in: 59 }, 'expires_in'],
    [{ expires_in: 604_801 }, 'expires_in'],
    [{ files: [] }, 'files'],
    [{ files: ['relative'] }, 'files.0'],
    [{ format: 'zip' }, 'format'],
    [{ decrypt: true }, 'decrypt'],
  ])('are refused by name for %j', async (body, field) => {
    const answer = await ask(id, body)
    expect([answer.status, errorOf(answer).code]).toEqual([400, 'VALIDATION_FAILED'])
    expect(errorOf(answer).details['field']).toBe(field)
  })

  test('need the scope for downloads, and are nobody else’s', async () => {
    const reader = await addToken(world, { scopes: ['read'] })
    const answer = await ask(id, {}, reader)
    expect([answer.status, errorOf(answer).code]).toEqual([403, 'PERMISSION_DENIED'])
    const project = await world.api.call('POST', '/v1/projects', { body: { name: 'parts' } })
    const other = await addToken(world, { project: dataOf(project)['id'] as never })
    expect((await ask(id, {}, other)).status).toBe(404)
    expect((await ask(newId(), {})).status).toBe(404)
  })

  test('of a damaged backup say which names are lost, and give the rest', async () => {
    const own = await storeVault(world, { ...small, entriesPerSegment: 1 })
    const backup = await own.backup(entries)
    const lost = backup.written.segments[3]!
    const { key } = own.writer.store.placed.get(lost.locator[0])!
    await own.spoil(key, null)
    const parts = partsOf(await ask(backup.id, {}))
    expect(parts.lost.length).toBeGreaterThan(0)
    expect(parts.lost[0]).toMatchObject({ code: 'MISSING_OBJECT' })
    expect(parts.parts.length).toBeGreaterThan(1)
  })
})
