import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ObjectSource } from '#agent/core/restore-ports.ts'
import { folderSource } from '#agent/io/object-source-folder.ts'
import { keyOfUrl, urlSource } from '#agent/io/object-source-urls.ts'
import { type ErrorCode, hasCode } from '#shared/errors.ts'

const VAULT = '0190a8a0-0000-7000-8000-000000000001'
const OTHER = '0190a8a0-0000-7000-8000-000000000002'
const RANDOM = '0123456789abcdef0123456789abcdef'
const KEYS = [
  `vaults/${VAULT}/packs/01/0.1-${RANDOM}.age`,
  `vaults/${VAULT}/signers/0-${RANDOM}.json`,
  `vaults/${OTHER}/signers/0-${RANDOM}.json`,
] as const
const [PACK] = KEYS
const BYTES = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251))

type Answer = (request: IncomingMessage, response: ServerResponse, key: string) => void

/** An honest S3 server as far as presigned GETs go. */
const honest: Answer = (request, response, key) => {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
  if (!KEYS.some((one) => one === key)) return void response.writeHead(404).end()
  const start = Number(range?.[1] ?? 0)
  const end = Math.min(BYTES.length, Number(range?.[2] ?? BYTES.length) + 1)
  if (start >= BYTES.length) return void response.writeHead(416).end()
  response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${BYTES.length}` })
  response.end(BYTES.subarray(start, end))
}

let server: Server
let folder: string
let answer: Answer = honest
let asked: IncomingMessage[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-source-'))
  for (const key of KEYS) {
    mkdirSync(join(folder, dirname(key)), { recursive: true })
    writeFileSync(join(folder, key), BYTES)
  }
  server = createServer((request, response) => {
    asked.push(request)
    answer(
      request,
      response,
      (request.url ?? '').replace(/^\/bucket\/some%20prefix\//, '').replace(/\?.*/, ''),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterEach(() => {
  answer = honest
  asked = []
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

const origin = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const urlOf = (key: string): string =>
  `${origin()}/bucket/some%20prefix/${key}?X-Amz-Signature=secret`

const sources: readonly (readonly [string, () => Promise<ObjectSource>])[] = [
  ['a folder', async () => folderSource(folder)],
  ['URLs', async () => Promise.resolve(urlSource(KEYS.map(urlOf)))],
]

const codeOf = async (work: Promise<unknown>): Promise<ErrorCode | 'none'> => {
  try {
    await work
    return 'none'
  } catch (error) {
    const codes = [
      'MISSING_OBJECT',
      'DAMAGED',
      'STORAGE_UNAVAILABLE',
      'SOURCE_UNREADABLE',
      'WRONG_USE',
      'NOT_A_VAULT',
    ] as const
    return codes.find((code) => hasCode(error, code)) ?? 'INTERNAL'
  }
}

describe.each(sources)('an object source over %s', (_, make) => {
  test('names its vaults, and the objects below a prefix in order', async () => {
    const source = await make()
    expect(await source.vaults()).toEqual([VAULT, OTHER])
    expect(await source.list(`vaults/${VAULT}/`)).toEqual(KEYS.slice(0, 2))
    expect(await source.list(`vaults/${VAULT}/backups/`)).toEqual([])
  })

  test('gives exactly the bytes of a range', async () => {
    const source = await make()
    expect(Buffer.from(await source.read(PACK, 100, 300))).toEqual(BYTES.subarray(100, 300))
    expect(Buffer.from(await source.read(PACK, 4999, 5000))).toEqual(BYTES.subarray(4999))
    expect(await source.read(PACK, 7, 7)).toHaveLength(0)
  })

  test('tells the size of what is there, and null of what is not', async () => {
    const source = await make()
    expect(await source.size(PACK)).toBe(5000)
    expect(await source.size(PACK.replace('0.1', '0.2'))).toBeNull()
  })

  test('what is not there is missing; what ends before the range is damaged', async () => {
    const source = await make()
    expect(await codeOf(source.read(PACK.replace('0.1', '0.2'), 0, 10))).toBe('MISSING_OBJECT')
    expect(await codeOf(source.read(PACK, 4990, 5010))).toBe('DAMAGED')
    expect(await codeOf(source.read(PACK, 6000, 6010))).toBe('DAMAGED')
  })
})

describe('a server that is not what it should be', () => {
  const read = async (): Promise<Uint8Array> => urlSource([urlOf(PACK)]).read(PACK, 100, 300)

  test.each<[string, Answer]>([
    [
      'redirects elsewhere',
      (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
    ],
    [
      'sends another range',
      (_, response) =>
        response
          .writeHead(206, { 'content-range': 'bytes 0-199/5000' })
          .end(BYTES.subarray(0, 200)),
    ],
    [
      'sends more than the range',
      (_, response) =>
        response.writeHead(206, { 'content-range': 'bytes 100-299/5000' }).end(BYTES),
    ],
    [
      'sends less than the range',
      (_, response) =>
        response
          .writeHead(206, { 'content-range': 'bytes 100-299/5000' })
          .end(BYTES.subarray(0, 50)),
    ],
    [
      'does not serve ranges',
      (_, response) => response.writeHead(200, { 'content-length': '5000' }).end(BYTES),
    ],
    [
      'does not say what it sends',
      (_, response) => response.writeHead(206).end(BYTES.subarray(100, 300)),
    ],
    [
      'compresses',
      (_, response) =>
        response
          .writeHead(206, { 'content-encoding': 'gzip', 'content-range': 'bytes 100-299/5000' })
          .end(gzipSync(BYTES)),
    ],
    ['refuses', (_, response) => response.writeHead(403).end('<Error/>')],
    ['hangs up', (request) => request.socket.destroy()],
  ])('that %s is refused', async (_, hostile) => {
    answer = hostile
    expect(await codeOf(read())).toBe('STORAGE_UNAVAILABLE')
  })

  test('that fails once, or hangs up once, is asked again', async () => {
    for (const failure of [
      (_: IncomingMessage, response: ServerResponse) => response.writeHead(503).end(),
      (request: IncomingMessage) => request.socket.destroy(),
    ]) {
      answer = (request, response) => {
        answer = honest
        failure(request, response)
      }
      expect(Buffer.from(await read())).toEqual(BYTES.subarray(100, 300))
    }
  })

  test('that says an object is gone is not asked again', async () => {
    answer = (_, response) => response.writeHead(404).end()
    expect(await codeOf(read())).toBe('MISSING_OBJECT')
    expect(asked).toHaveLength(1)
  })

  test('hears no more than was signed: a range, and no compression', async () => {
    await read()
    expect(asked[0]?.method).toBe('GET')
    expect(asked[0]?.headers.range).toBe('bytes=100-299')
    expect(asked[0]?.headers['accept-encoding']).toBe('identity')
  })

  test('is named in errors without the signature', async () => {
    answer = (_, response) => response.writeHead(403).end()
    const message = await read().then(
      () => '',
      (error: unknown) => String(error),
    )
    expect(message).toContain('some%20prefix')
    expect(message).not.toContain('secret')
  })
})

describe('URLs', () => {
  test('say which object they are, whatever stands before the key', () => {
    expect(keyOfUrl(`https://b.s3.example/${PACK}?X-Amz-Date=1`)).toBe(PACK)
    expect(keyOfUrl(`https://s3.example/vaults/deep/${PACK.replaceAll('/', '%2F')}`)).toBe(PACK)
  })

  test.each([
    ['ftp://x/y'],
    ['nonsense'],
    ['https://s3.example/file'],
    ['https://s3.example/vaults/no-id/x'],
  ])('%j leads to no vault and is refused', (url) => {
    expect(() => keyOfUrl(url)).toThrow()
  })

  test('two for one object are refused', () => {
    expect(() => urlSource([urlOf(PACK), `${urlOf(PACK)}2`])).toThrow(/two URLs/)
  })
})
