import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileId, parseFileId } from '#shared/api/file-ids.ts'
import { addToken } from '../../../support/http-objects.ts'
import { dataOf, errorOf, metaOf, rowsOf } from '../../../support/answers.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file, META, symlink } from '../../../support/vault-place.ts'

let world: ReadingWorld
beforeAll(async () => {
  world = await readingWorld()
})
afterAll(async () => world.close())

const paged = async (url: string): Promise<{ names: unknown[]; pages: number }> => {
  const names: unknown[] = []
  let pages = 0
  for (let next: string | null = ''; next !== null; pages += 1) {
    const cursor = next === '' ? '' : `&cursor=${next}`
    const answer = await world.api.call('GET', `${url}${cursor}`)
    expect(answer.status).toBe(200)
    names.push(...rowsOf(answer).map((row) => row['path']))
    next = metaOf(answer)['next_cursor'] as string | null
  }
  return { names, pages }
}

describe('the files of a backup', () => {
  let vault: StoredVault
  let id: string
  beforeAll(async () => {
    vault = await storeVault(world, { entriesPerSegment: 7, itemsPerFence: 5, packTarget: 8192 })
    const many = Array.from({ length: 60 }, (_, i) =>
      file(`/data/many/f${String(i).padStart(3, '0')}`, `${i}`),
    )
    const backup = await vault.backup([
      directory('/data'),
      directory('/data/empty', 0o1777),
      directory('/data/many'),
      ...many,
      file('/data/\xc3\x9cberblick.TXT', 'x'),
      file('/data/many/\xff\xfe" name', 'not text'),
      symlink('/data/link', '/etc/\xff'),
      { dir: '/data', name: 'pipe', entry: { ...META, type: 'fifo' } },
    ])
    id = backup.id
  })

  test('are listed folder by folder, in the order of the tree', async () => {
    const root = await world.api.call('GET', `/v1/backups/${id}/files`)
    expect(rowsOf(root).map((row) => row['path'])).toEqual(['/data'])
    const data = await world.api.call('GET', `/v1/backups/${id}/files?path=/data/`)
    expect(rowsOf(data).map((row) => [row['name'], row['type']])).toEqual([
      ['empty', 'directory'],
      ['link', 'symlink'],
      ['many', 'directory'],
      ['pipe', 'fifo'],
      ['Überblick.TXT', 'file'],
    ])
    expect(rowsOf(data)[0]).toMatchObject({ mode: '1777', size: null, uid: 0, gid: 0 })
    expect(rowsOf(data)[1]).toMatchObject({ target: '/etc/\ufffd' })
    expect(rowsOf(data)[4]).toMatchObject({
      size: 1,
      mode: '0644',
      mtime: '2023-11-14T22:13:20.123Z',
    })
    expect(metaOf(data)).toEqual({
      request_id: 'made-request-id',
      limit: 50,
      next_cursor: null,
      lost: [],
    })
    const empty = await world.api.call('GET', `/v1/backups/${id}/files?path=/data/empty`)
    expect(rowsOf(empty)).toEqual([])
  })

  test('come in pages of any size, each name once', async () => {
    const all = await paged(`/v1/backups/${id}/files?path=/data/many&limit=100`)
    expect(all.pages).toBe(1)
    expect(all.names).toHaveLength(61)
    for (const limit of [1, 7, 30, 60, 61]) {
      const { names, pages } = await paged(`/v1/backups/${id}/files?path=/data/many&limit=${limit}`)
      expect(names).toEqual(all.names)
      expect(pages).toBe(Math.ceil(61 / limit))
    }
  })

  test('that have no name in UTF-8 are named exactly by their id, and found by it', async () => {
    const many = await world.api.call('GET', `/v1/backups/${id}/files?path=/data/many&limit=100`)
    const odd = rowsOf(many).at(-1)!
    expect(odd['name']).toBe('\ufffd\ufffd" name')
    expect(parseFileId(String(odd['id']))).toBe('/data/many/\xff\xfe" name')
    const one = await world.api.call('GET', String(odd['url']))
    expect(dataOf(one)).toEqual(odd)
    const folder = await world.api.call(
      'GET',
      `/v1/backups/${id}/files?path=${fileId('/data/many')}`,
    )
    expect(rowsOf(folder)).toHaveLength(50)
  })

  test('are searched by a part of their name, in any case, below any folder', async () => {
    const found = async (query: string): Promise<unknown[]> =>
      (await paged(`/v1/backups/${id}/files?${query}`)).names
    expect(await found('search=F00&limit=3')).toEqual(
      Array.from({ length: 10 }, (_, i) => `/data/many/f00${i}`),
    )
    expect(await found('search=überblick')).toEqual(['/data/Überblick.TXT'])
    // The same name, with its mark as a character of its own.
    expect(await found(`search=${encodeURIComponent('U\u0308berblick')}`)).toEqual([
      '/data/Überblick.TXT',
    ])
    expect(await found('search=many&path=/data/many')).toEqual([])
    expect(await found('search=nothing')).toEqual([])
  })

  test('are 404 where there is no such folder or file, and for anybody else', async () => {
    const wrong = ['/data/missing', '/data/link', '/data/many/f000', '/datum', '/data/many/f000/x']
    for (const path of wrong) {
      const answer = await world.api.call('GET', `/v1/backups/${id}/files?path=${path}`)
      expect([answer.status, errorOf(answer).code]).toEqual([404, 'RESOURCE_NOT_FOUND'])
    }
    for (const path of ['/data/missing', '/', '/zzz']) {
      const answer = await world.api.call('GET', `/v1/backups/${id}/files/${fileId(path)}`)
      expect(answer.status).toBe(404)
    }
    const nonsense = await world.api.call('GET', `/v1/backups/${id}/files/nonsense`)
    expect([nonsense.status, errorOf(nonsense).details['field']]).toEqual([400, 'file_id'])
    const project = await world.api.call('POST', '/v1/projects', { body: { name: 'other' } })
    const token = await addToken(world, {
      project: dataOf(project)['id'] as never,
    })
    for (const url of [`/v1/backups/${id}/files`, `/v1/backups/${id}/files/${fileId('/data')}`]) {
      const answer = await world.api.call('GET', url, { token })
      expect([answer.status, errorOf(answer).code]).toEqual([404, 'RESOURCE_NOT_FOUND'])
    }
  })

  test.each([
    ['path=data', 'path'],
    ['path=/a/../b', 'path'],
    ['cursor=x', 'cursor'],
    ['limit=101', 'limit'],
    ['limit=0', 'limit'],
    ['search=', 'search'],
    ['offset=5', 'offset'],
  ])('are refused by name for %s', async (query, field) => {
    const answer = await world.api.call('GET', `/v1/backups/${id}/files?${query}`)
    expect([answer.status, errorOf(answer).code]).toEqual([400, 'VALIDATION_FAILED'])
    expect(errorOf(answer).details['field']).toBe(field)
  })

  test('that were looked at make the backup used', async () => {
    const used = async (): Promise<Date | null> =>
      (
        await world.database.db
          .selectFrom('backups')
          .select('last_used_at')
          .where('id', '=', id as never)
          .executeTakeFirstOrThrow()
      ).last_used_at
    await world.database.db.updateTable('backups').set({ last_used_at: null }).execute()
    await world.api.call('GET', `/v1/backups/${id}`)
    expect(await used()).toBeNull()
    await world.api.call('GET', `/v1/backups/${id}/files`)
    expect(await used()).not.toBeNull()
  })

  test('come with the backup itself, the first hundred', async () => {
    const answer = await world.api.call('GET', `/v1/backups/${id}`)
    expect(dataOf(answer)['files_error']).toBeNull()
    const files = dataOf(answer)['files'] as { path: string }[]
    expect(files.slice(0, 3).map(({ path }) => path)).toEqual([
      '/data',
      '/data/empty',
      '/data/link',
    ])
    expect(files).toHaveLength(67)
  })
})

describe('the files of a damaged backup', () => {
  const entries = [
    directory('/d'),
    ...Array.from({ length: 40 }, (_, i) => file(`/d/f${String(i).padStart(2, '0')}`, `${i}`)),
  ]

  test('are listed but for those whose names are lost, which are named as a range', async () => {
    const vault = await storeVault(world, { entriesPerSegment: 10, packTarget: 256 })
    const { id, written } = await vault.backup(entries)
    const [, second] = written.segments
    const { key, preamble } = vault.writer.store.placed.get(second!.locator[0])!
    const others = written.segments.filter(({ locator }) => locator[0] === second!.locator[0])
    expect(others).toHaveLength(1)
    await vault.spoil(key, (bytes) => {
      bytes[preamble + 5]! ^= 1
      return bytes
    })
    const answer = await world.api.call('GET', `/v1/backups/${id}/files?path=/d&limit=100`)
    expect(answer.status).toBe(200)
    expect(rowsOf(answer)).toHaveLength(30)
    expect(metaOf(answer)['lost']).toEqual([
      {
        from: '/d/f09',
        to: '/d/f19',
        code: 'DAMAGED',
        problem: expect.stringContaining('damaged') as string,
      },
    ])
    await vault.spoil(key, null)
    const gone = await world.api.call('GET', `/v1/backups/${id}/files?path=/d&limit=100`)
    expect(metaOf(gone)['lost']).toMatchObject([{ code: 'MISSING_OBJECT' }])
    await vault.heal(key)
    const healed = await world.api.call('GET', `/v1/backups/${id}/files?path=/d&limit=100`)
    expect(rowsOf(healed)).toHaveLength(40)
    expect(metaOf(healed)['lost']).toEqual([])
  })

  test('whose record was changed or swapped are refused, and the backup itself still answers', async () => {
    const vault = await storeVault(world)
    const first = await vault.backup(entries)
    const second = await vault.backup(entries.slice(0, 5))
    await vault.spoil(first.written.key, () => vault.writer.objects.get(second.written.key)!)
    const files = await world.api.call('GET', `/v1/backups/${first.id}/files`)
    expect([files.status, errorOf(files).code]).toEqual([500, 'DAMAGED'])
    const plain = await world.api.call('GET', `/v1/backups/${first.id}`)
    expect(plain.status).toBe(200)
    expect(dataOf(plain)).toMatchObject({ files: [], files_error: { code: 'DAMAGED' } })
    await vault.heal(first.written.key)
    const healed = await world.api.call('GET', `/v1/backups/${first.id}`)
    expect(dataOf(healed)['files']).toHaveLength(41)
  })

  test('need no customer’s key', async () => {
    const vault = await storeVault(world, { key: 'customer' })
    const { id } = await vault.backup(entries)
    const answer = await world.api.call('GET', `/v1/backups/${id}/files?path=/d&limit=3`)
    expect(rowsOf(answer)).toHaveLength(3)
  })
})

describe('a backup', () => {
  test('whose storage is away answers without its files and says why; its folders say it too', async () => {
    const elsewhere = await readingWorld()
    try {
      const vault = await storeVault(elsewhere)
      const { id } = await vault.backup([directory('/d'), file('/d/f', 'x')])
      await elsewhere.s3.close()
      const plain = await elsewhere.api.call('GET', `/v1/backups/${id}`)
      expect(plain.status).toBe(200)
      expect(dataOf(plain)).toMatchObject({
        files: [],
        files_error: { code: 'STORAGE_UNAVAILABLE' },
      })
      const files = await elsewhere.api.call('GET', `/v1/backups/${id}/files`)
      expect([files.status, errorOf(files).code]).toEqual([503, 'STORAGE_UNAVAILABLE'])
    } finally {
      await elsewhere.api.app.close()
      await elsewhere.database.close()
    }
  })

  test('that is not committed has no files yet', async () => {
    const vault = await storeVault(world)
    const { id } = await vault.backup([directory('/d')])
    await world.database.db
      .updateTable('backups')
      .set({ status: 'running', completed_at: null })
      .where('id', '=', id)
      .execute()
    const plain = await world.api.call('GET', `/v1/backups/${id}`)
    expect(dataOf(plain)).toMatchObject({ files: [], files_error: null })
    const files = await world.api.call('GET', `/v1/backups/${id}/files`)
    expect([files.status, errorOf(files).code]).toEqual([409, 'INVALID_STATE'])
  })
})
