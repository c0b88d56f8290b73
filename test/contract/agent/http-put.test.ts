import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Grant } from '#shared/protocol/orders.ts'
import { httpPut } from '#agent/io/http-put.ts'

type Seen = {
  readonly headers: IncomingMessage['headers']
  readonly raw: string[]
  readonly body: Buffer
}

let answer: (response: ServerResponse) => void = () => undefined
const seen: Seen[] = []
const server = createServer((request, response) => {
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.on('end', () => {
    seen.push({ headers: request.headers, raw: request.rawHeaders, body: Buffer.concat(parts) })
    answer(response)
  })
})
const put = httpPut()
let url = ''
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/bucket/key`
})
afterAll(async () => {
  put.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

const NEVER = new AbortController().signal
const body = Buffer.from('sealed bytes')
const grant = (headers: Record<string, string> = {}): Grant => ({
  no: 1,
  key: 'key',
  url,
  headers: { 'content-length': String(body.length), ...headers },
  expires_at: 0,
})
const answers = (status: number, headers: Record<string, string> = {}, text = ''): void => {
  answer = (response) => response.writeHead(status, headers).end(text)
}

describe('a PUT', () => {
  test('carries the signed headers and nothing that S3 would count besides', async () => {
    answers(200, { etag: '"abc"' })
    const outcome = await put.upload(
      grant({ 'x-amz-date': 'now', 'if-none-match': '*' }),
      body,
      NEVER,
    )
    expect(outcome).toEqual({ done: 'stored', etag: 'abc' })
    const last = seen.at(-1)
    expect(last?.body.equals(body)).toBe(true)
    const names = Object.keys(last?.headers ?? {}).sort()
    expect(names).toEqual(['connection', 'content-length', 'host', 'if-none-match', 'x-amz-date'])
  })

  test.each([
    [412, '', { done: 'exists' }],
    [
      403,
      '<Error><Code>AccessDenied</Code></Error>',
      { done: 'failed', regrant: true, lasting: true },
    ],
    [
      503,
      '<Error><Code>SlowDown</Code></Error>',
      { done: 'failed', regrant: false, lasting: false },
    ],
    [
      400,
      '<Error><Code>RequestTimeout</Code></Error>',
      { done: 'failed', regrant: false, lasting: false },
    ],
    [
      400,
      '<Error><Code>BadDigest</Code></Error>',
      { done: 'failed', regrant: false, lasting: true },
    ],
    [301, '', { done: 'failed', regrant: false, lasting: true }],
  ])('answered with %i %s is understood', async (status, text, expected) => {
    answers(status, { location: 'http://elsewhere/' }, text)
    expect(await put.upload(grant(), body, NEVER)).toMatchObject(expected)
  })

  test('answered without an ETag does not count as stored', async () => {
    answers(200)
    expect(await put.upload(grant(), body, NEVER)).toMatchObject({ done: 'failed' })
  })

  test('whose connection breaks may be tried again', async () => {
    answer = (response) => response.destroy()
    const outcome = await put.upload(grant(), body, NEVER)
    expect(outcome).toMatchObject({ done: 'failed', regrant: false, lasting: false })
  })

  test('ends when it is no longer wanted', async () => {
    const stop = new AbortController()
    answer = () => stop.abort()
    expect(await put.upload(grant(), body, stop.signal)).toMatchObject({ done: 'failed' })
  })

  test('uses a connection again', async () => {
    answers(200, { etag: 'x' })
    let connections = 0
    server.on('connection', () => (connections += 1))
    for (let i = 0; i < 5; i += 1) await put.upload(grant(), body, NEVER)
    expect(connections).toBeLessThanOrEqual(1)
  })
})
