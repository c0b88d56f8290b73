import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ExtractJob, Trouble } from '#agent/core/restore-job.ts'
import type { Extractors } from '#agent/core/restore-ports.ts'
import { startExtractors } from '#agent/io/restore-workers.ts'
import { openPreamble } from '#shared/format/age.ts'
import { seeded } from '../support/seeded.ts'
import { file } from '../support/vault-place.ts'
import { createVaultWriter } from '../support/vault-writer.ts'
import { eventually } from '../support/wait.ts'

const CONTENT = seeded('content').bytes(30_000)

let folder: string
let server: Server
let origin: string
let threads: Extractors
let job: ExtractJob
let requests: string[]
/** What a path is answered with instead of the object. */
let moods: Record<string, (response: ServerResponse) => void>

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-threads-'))
  const writer = createVaultWriter({ random: seeded('threads').bytes, chunk: 60_000 })
  const backup = writer.backup([file('/f', CONTENT)])
  const locator = backup.files[0]!.content[0]!
  const { key, size } = writer.store.placed.get(locator[0])!
  const bytes = Buffer.from(writer.objects.get(key)!)
  requests = []
  moods = {}
  server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push(path)
    const mood = moods[path]
    if (mood !== undefined) {
      mood(response)
      return
    }
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')!
    const part = bytes.subarray(Number(from), Number(to) + 1)
    response.writeHead(206, { 'content-range': `bytes ${from!}-${to!}/${bytes.length}` })
    response.end(part)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  threads = startExtractors({ idKey: writer.idKey, tag: 'tag', threads: 1, each: 2 })
  const { key: payloadKey, length } = openPreamble(bytes, [writer.identity])
  const [, offset, frameLength, within, pieceLength, id] = locator
  job = {
    object: { at: { url: `${origin}/first` }, key, payloadKey, preambleLength: length, size },
    files: [
      {
        mode: 0o600,
        owner: null,
        mtime: 0n,
        xattrs: [],
        directory: { fd: null, path: folder, naming: 'fresh', inherits: false },
        name: 'out',
      },
    ],
    frames: [
      {
        offset,
        length: frameLength,
        pieces: [{ offset: within, length: pieceLength, id, into: [0] }],
      },
    ],
  }
})
afterEach(async () => {
  await threads.close()
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true })
})

const answer =
  (status: number) =>
  (response: ServerResponse): void =>
    void response.writeHead(status).end()

describe('a read that fails in a thread', () => {
  test.each([
    [403, true],
    [400, true],
    [301, true],
    [500, false],
    [503, false],
    [429, false],
  ])('with %d is asked about, and goes on where the answer says', async (status, refused) => {
    moods['/first'] = answer(status)
    const troubles: Trouble[] = []
    const result = await threads.run(job, async (trouble) => {
      troubles.push(trouble)
      return Promise.resolve({ url: `${origin}/second` })
    })
    expect(result.files).toEqual([null])
    expect(Buffer.compare(readFileSync(join(folder, 'out')), CONTENT)).toBe(0)
    expect(troubles).toMatchObject([{ at: { url: `${origin}/first` }, refused }])
    expect(troubles[0]?.problem.code).toBe('STORAGE_UNAVAILABLE')
    expect(requests).toEqual(['/first', '/second'])
    expect(result.fetched).toBeGreaterThan(2 * CONTENT.length)
  })

  test('is left at that where the answer is no, and its words are kept', async () => {
    moods['/first'] = answer(403)
    const { files, pieces } = await threads.run(job, async () => Promise.resolve(null))
    expect(files).toMatchObject([{ code: 'STORAGE_UNAVAILABLE', details: { verb: 'get' } }])
    expect(pieces).toMatchObject([[{ code: 'STORAGE_UNAVAILABLE' }]])
    expect(requests).toEqual(['/first'])
    expect(readdirSync(folder)).toEqual([])
  })

  test('with 404 is not asked about: the object is not there', async () => {
    moods['/first'] = answer(404)
    const result = await threads.run(job, async () => Promise.reject(new Error('asked')))
    expect(result.files).toMatchObject([{ code: 'MISSING_OBJECT' }])
  })

  test('shows no query of an address, which is a secret', async () => {
    moods['/first?signature=secret'] = answer(403)
    const object = { ...job.object!, at: { url: `${origin}/first?signature=secret` } }
    const { files } = await threads.run({ ...job, object }, async () => Promise.resolve(null))
    expect(files).toMatchObject([{ code: 'STORAGE_UNAVAILABLE' }])
    expect(JSON.stringify(files)).not.toContain('secret')
  })
})

describe('threads that are closed', () => {
  test('break off what they read, answer, and leave nothing behind', async () => {
    moods['/first'] = () => undefined
    mkdirSync(join(folder, 'd'))
    const running = threads.run(job, async () => Promise.reject(new Error('asked')))
    await eventually('the request', () => requests.length === 1)
    await threads.close()
    expect((await running).files).toMatchObject([{ code: 'STORAGE_UNAVAILABLE' }])
    expect(readdirSync(folder)).toEqual(['d'])
    await expect(threads.run(job)).rejects.toMatchObject({ code: 'CANCELED' })
  })

  test('do not wait for an answer that never comes', async () => {
    moods['/first'] = answer(503)
    const asked = Promise.withResolvers<undefined>()
    const running = threads.run(job, async () => {
      asked.resolve(undefined)
      return new Promise(() => undefined)
    })
    await asked.promise
    await threads.close()
    expect((await running).files).toMatchObject([{ code: 'STORAGE_UNAVAILABLE' }])
  })
})
