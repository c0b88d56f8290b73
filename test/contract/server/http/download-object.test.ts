import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Download } from '#shared/api/downloads.ts'
import { fileId } from '#shared/api/file-ids.ts'
import { open as openAge } from '#shared/format/age.ts'
import type { DownloadId } from '#shared/ids.ts'
import { KiB, MiB } from '#shared/units.ts'
import { type Answer, dataOf, errorOf } from '../../../support/answers.ts'
import { type DownloadDesk, downloadDesk, fetched } from '../../../support/download-desk.ts'
import { addToken } from '../../../support/http-objects.ts'
import { seeded } from '../../../support/seeded.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file, META, symlink } from '../../../support/vault-place.ts'
import { eventually } from '../../../support/wait.ts'

let world: ReadingWorld
beforeAll(async () => {
  world = await readingWorld()
})
afterAll(async () => world.close())

let desk: DownloadDesk
beforeAll(() => {
  desk = downloadDesk(world)
})
const ask: DownloadDesk['ask'] = async (...given) => desk.ask(...given)
const linksOf: DownloadDesk['linksOf'] = async (answer) => desk.linksOf(answer)
const { newest, keysOf, areGone, failureOf, settled } = {
  newest: async () => desk.newest(),
  keysOf: async (id: DownloadId) => desk.keysOf(id),
  areGone: async (keys: readonly string[]) => desk.areGone(keys),
  failureOf: async (answer: Answer) => desk.failureOf(answer),
  settled: async (id: string) => desk.settled(id),
}

const random = seeded('download object').bytes
const large = Buffer.from(random(3 * MiB))
const entries = [
  directory('/d', 0o750),
  directory('/d/empty'),
  directory('/d/sub'),
  file('/d/small', 'small', { mode: 0o4711 }),
  file('/d/nothing', ''),
  file('/d/large', large),
  file('/d/sub/\xc3\xbcber "x".txt', 'text'),
  file('/d/sub/\xff odd', 'odd'),
  symlink('/d/link', 'small'),
  { dir: '/d', name: 'pipe', entry: { ...META, type: 'fifo' as const } },
  { dir: '/d', name: 'socket', entry: { ...META, type: 'socket' as const, skipped: 'socket' } },
  file('/d/first name', 'linked', { hardlink: '7' }),
  file('/d/second name', 'linked', { hardlink: '7' }),
  file('/d/holes', Buffer.from('ab'), {
    size: 200_002,
    holes: [
      [1, 100_000],
      [100_002, 100_000],
    ],
  }),
]
const small = { packTarget: 512 * KiB, chunk: 64 * KiB, frameTarget: 64 * KiB } as const

describe('a download', () => {
  let vault: StoredVault
  let id: string
  beforeAll(async () => {
    vault = await storeVault(world, small)
    id = (await vault.backup(entries)).id
  })
  const plain = async (url: string): Promise<Buffer> =>
    Buffer.from(openAge(await fetched(url), [vault.writer.identity]))

  test('of files gives each of them, encrypted to the content recipient alone', async () => {
    const wanted = ['/d/small', '/d/nothing', '/d/large', fileId('/d/sub/\xff odd')]
    const links = await linksOf(await ask(id, { files: wanted }))
    expect(Object.keys(links)).toEqual(['large.age', 'nothing.age', 'small.age', '\ufffd odd.age'])
    expect((await plain(links['small.age']!)).toString()).toBe('small')
    expect(await plain(links['nothing.age']!)).toHaveLength(0)
    expect((await plain(links['large.age']!)).equals(large)).toBe(true)
    expect((await plain(links['\ufffd odd.age']!)).toString()).toBe('odd')
    const sealed = await fetched(links['small.age']!)
    expect(() => openAge(sealed, [vault.writer.list, vault.writer.recovery])).toThrow(
      expect.objectContaining({ code: 'WRONG_KEY' }) as Error,
    )
    expect(sealed.includes('small')).toBe(false)
  })

  test('fills the holes of a file', async () => {
    const links = await linksOf(await ask(id, { files: ['/d/holes'] }))
    const expected = Buffer.alloc(200_002)
    expected.write('a', 0)
    expected.write('b', 100_001)
    expect((await plain(links['holes.age']!)).equals(expected)).toBe(true)
  })

  test('gives the name in a header that nothing in the name can end', async () => {
    const links = await linksOf(await ask(id, { files: ['/d/sub/über "x".txt'] }))
    const answer = await fetch(links['über "x".txt.age']!)
    expect(answer.headers.get('content-disposition')).toBe(
      `attachment; filename="_ber _x_.txt.age"; filename*=UTF-8''%C3%BCber%20%22x%22.txt.age`,
    )
    const forged = links['über "x".txt.age']!.replace('x_.txt', 'y_.txt')
    expect((await fetch(forged)).status).toBe(403)
  })

  test('of a folder is one archive, as tar reads it', async () => {
    const links = await linksOf(await ask(id, { files: ['/d'] }))
    expect(Object.keys(links)).toEqual(['d.tar.zst.age'])
    const tar = zstdDecompressSync(await plain(links['d.tar.zst.age']!))
    const folder = mkdtempSync(join(tmpdir(), 'hf-tar-'))
    try {
      writeFileSync(join(folder, 'a.tar'), tar)
      const list = execFileSync(
        'tar',
        ['-tvf', join(folder, 'a.tar'), '--full-time', '--utc', '--numeric-owner'],
        { env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' } },
      )
      expect(list.toString('latin1').trim().split('\n')).toEqual([
        'drwxr-x--- 0/0               0 2023-11-14 22:13:20.123456789 d/',
        'drwxr-xr-x 0/0               0 2023-11-14 22:13:20.123456789 d/empty/',
        '-rw-r--r-- 0/0               6 2023-11-14 22:13:20.123456789 d/first name',
        '-rw-r--r-- 0/0          200002 2023-11-14 22:13:20.123456789 d/holes',
        '-rw-r--r-- 0/0         3145728 2023-11-14 22:13:20.123456789 d/large',
        'lrw-r--r-- 0/0               0 2023-11-14 22:13:20.123456789 d/link -> small',
        '-rw-r--r-- 0/0               0 2023-11-14 22:13:20.123456789 d/nothing',
        'prw-r--r-- 0/0               0 2023-11-14 22:13:20.123456789 d/pipe',
        'hrw-r--r-- 0/0               0 2023-11-14 22:13:20.123456789 d/second name link to d/first name',
        '-rws--x--x 0/0               5 2023-11-14 22:13:20.123456789 d/small',
        'drwxr-xr-x 0/0               0 2023-11-14 22:13:20.123456789 d/sub/',
        '-rw-r--r-- 0/0               4 2023-11-14 22:13:20.123456789 d/sub/\\303\\274ber "x".txt',
        '-rw-r--r-- 0/0               3 2023-11-14 22:13:20.123456789 d/sub/\\377 odd',
      ])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('without files is an archive of everything, called as was asked for', async () => {
    const links = await linksOf(await ask(id, { name: 'all "of" it/\n' }))
    const [name, url] = Object.entries(links)[0]!
    expect(name).toBe('all "of" it__.tar.zst.age')
    const tar = zstdDecompressSync(await plain(url))
    expect(tar.indexOf('d/\0')).toBe(1024)
    expect(tar.length % 512).toBe(0)
    expect(tar.subarray(-1024).every((byte) => byte === 0)).toBe(true)
    const unnamed = await linksOf(await ask(id))
    expect(Object.keys(unnamed)).toEqual(['backup 1.tar.zst.age'])
  })

  test('of files with one name gives them different ones', async () => {
    const own = await storeVault(world)
    const backup = await own.backup([
      directory('/a'),
      directory('/b'),
      file('/a/x', '1'),
      file('/b/x', '2'),
    ])
    const links = await linksOf(await ask(backup.id, { files: ['/b/x', '/a/x'] }))
    expect(Object.keys(links)).toEqual(['x.age', 'x (2).age'])
    const two = openAge(await fetched(links['x (2).age']!), [own.writer.identity])
    expect(Buffer.from(two).toString()).toBe('2')
  })

  test('of a glob gives what it fits, and of over a hundred names an address to follow', async () => {
    const own = await storeVault(world)
    const many = Array.from({ length: 120 }, (_, i) => file(`/m/f${i}.txt`, `${i}`))
    const backup = await own.backup([directory('/m'), file('/m/other', 'x'), ...many])
    const answer = await ask(backup.id, { files: ['/m/*.txt'] })
    expect(answer.status).toBe(202)
    const download = await settled(String(dataOf(answer)['id']))
    expect(download).toMatchObject({ status: 'ready', file_count: 120, format: 'object' })
    expect(Object.keys(download.links)).toHaveLength(120)
    expect(download.files).toHaveLength(100)
    const seven = openAge(await fetched(download.links['f7.txt.age']!), [own.writer.identity])
    expect(Buffer.from(seven).toString()).toBe('7')
    const tooMany = Array.from({ length: 1001 }, (_, i) => file(`/n/f${i}`, ''))
    const beyond = await own.backup([directory('/n'), ...tooMany])
    const refused = await ask(beyond.id, { files: ['/n/f*'] })
    expect((await failureOf(refused)).code).toBe('LIMIT_EXCEEDED')
  })

  test('has its links as long as it lives, and nothing in the storage after it', async () => {
    const links = await linksOf(await ask(id, { files: ['/d/small'], expires_in: 60 }))
    const { db } = world.database
    const download = await newest()
    const keys = await keysOf(download)
    const shown = async (): Promise<Download> =>
      dataOf(await world.api.call('GET', `/v1/downloads/${download}`)) as unknown as Download
    const ready = await shown()
    expect(ready).toMatchObject({ status: 'ready', backup_id: id, expires_in: 60, error: null })
    expect(ready.wanted).toEqual([{ id: fileId('/d/small'), path: '/d/small', glob: false }])
    expect(ready.files).toMatchObject([{ name: 'small.age', path: '/d/small' }])
    expect(ready.progress).toEqual({ bytes_total: 5, bytes_done: 5, files_done: 1 })
    expect(Object.keys(ready.links)).toEqual(Object.keys(links))
    await world.database.advanceClock(61_000)
    expect(await shown()).toMatchObject({ status: 'expired', links: {} })
    await eventually('the objects leave', async () => areGone(keys))
    expect((await fetch(links['small.age']!)).status).toBe(404)
    await eventually('the status', async () => {
      const row = await db
        .selectFrom('downloads')
        .select(['status', 'removed_at'])
        .where('id', '=', download)
        .executeTakeFirstOrThrow()
      return row.status === 'expired' && row.removed_at !== null
    })
  })

  test('that somebody removes is gone at once', async () => {
    const links = await linksOf(await ask(id, { files: ['/d/large'] }))
    const download = await newest()
    const keys = await keysOf(download)
    const other = await addToken(world, { scopes: ['read'] })
    const url = `/v1/downloads/${download}`
    expect((await world.api.call('DELETE', url, { token: other })).status).toBe(403)
    expect((await world.api.call('GET', url, { token: other })).status).toBe(403)
    expect((await world.api.call('DELETE', url)).status).toBe(204)
    expect((await fetch(links['large.age']!)).status).toBe(404)
    expect(await areGone(keys)).toBe(true)
    for (const method of ['GET', 'DELETE'] as const)
      expect((await world.api.call(method, url)).status).toBe(404)
  })

  test('is told as it goes on', async () => {
    const answer = await ask(id, { files: ['/d/small', '/d/sub'] })
    expect(Object.keys(await linksOf(answer))).toEqual(['small.age', 'sub.tar.zst.age'])
    const download = await newest()
    const stream = await world.api.app.inject({
      method: 'GET',
      url: `/v1/downloads/${download}/events`,
      headers: { authorization: `Bearer ${world.api.token}` },
    })
    expect(stream.statusCode).toBe(200)
    const statuses = [...stream.body.matchAll(/event: status\ndata: (.*)/g)].map(
      ([, data = '']) => (JSON.parse(data) as { status: string }).status,
    )
    expect(statuses).toEqual(['pending', 'ready'])
    expect(stream.body).toContain('"bytes_done":12')
  })

  test('is of one project only', async () => {
    await linksOf(await ask(id, { files: ['/d/small'] }))
    const download = await newest()
    const project = await world.api.call('POST', '/v1/projects', { body: { name: 'elsewhere' } })
    const token = await addToken(world, { project: dataOf(project)['id'] as never })
    for (const url of [`/v1/downloads/${download}`, `/v1/downloads/${download}/events`])
      expect((await world.api.call('GET', url, { token })).status).toBe(404)
    expect((await ask(id, {}, token)).status).toBe(404)
  })

  test.each([
    [{ files: ['/d/missing'] }, 404, 'RESOURCE_NOT_FOUND'],
    [{ files: ['/d/*.zip'] }, 404, 'RESOURCE_NOT_FOUND'],
    [{ files: ['/d/small', '/d/small/below'] }, 404, 'RESOURCE_NOT_FOUND'],
    [{ opener_key: 'A'.repeat(43) }, 400, 'VALIDATION_FAILED'],
    [{ format: 'tar.zst' }, 400, 'VALIDATION_FAILED'],
  ])('is refused for %j', async (body, status, code) => {
    const answer = await ask(id, body)
    expect((await failureOf(answer)).code).toBe(code)
    if (answer.status !== 202) expect(answer.status).toBe(status)
  })
})

describe('a download that cannot be', () => {
  test('because of damage fails, names the file, and leaves nothing behind', async () => {
    const vault = await storeVault(world, small)
    const { id, written } = await vault.backup(entries)
    const [locator] = written.files.find(({ test: one }) => one.name === 'large')!.content
    const { key, preamble } = vault.writer.store.placed.get(locator![0])!
    await vault.spoil(key, (bytes) => {
      bytes[preamble + locator![1] + 40]! ^= 1
      return bytes
    })
    const answer = await ask(id, { files: ['/d/large'] })
    const failure = await failureOf(answer)
    expect(failure.code).toBe('DAMAGED')
    expect(failure.message).toContain('/d/large')
    await vault.spoil(key, null)
    const missing = await failureOf(await ask(id, { files: ['/d'] }))
    expect(missing.code).toBe('MISSING_OBJECT')
    const keys = await keysOf(await newest())
    await eventually('the objects leave', async () => areGone(keys))
    await vault.heal(key)
    expect(Object.keys(await linksOf(await ask(id, { files: ['/d/large'] })))).toHaveLength(1)
  })

  test('because only the customer has the key says so, and what to take instead', async () => {
    const vault = await storeVault(world, { key: 'customer' })
    const { id } = await vault.backup([file('/f', 'x')])
    const answer = await ask(id, { files: ['/f'] })
    expect([answer.status, errorOf(answer).code]).toEqual([409, 'KEY_REQUIRED'])
    expect(errorOf(answer).message).toContain('parts')
  })
})
