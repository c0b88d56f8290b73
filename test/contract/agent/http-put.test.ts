import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Grant } from '#shared/protocol/orders.ts'
import { MINUTE, MiB, SECOND } from '#shared/units.ts'
import { longestUpload, PATIENCE } from '#agent/core/patience.ts'
import { httpPut } from '#agent/io/http-put.ts'
import { systemClock } from '#agent/io/world.ts'
import { eventually } from '../../support/wait.ts'

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

  test('goes out piece by piece, as it is let, and ends in the middle when it is stopped', async () => {
    answers(200, { etag: '"abc"' })
    let [pieces, letThrough] = [0, 100]
    const throttled = httpPut(PATIENCE, async (most, stop) => {
      pieces += 1
      if (pieces > letThrough) await systemClock.sleep(MINUTE, stop)
      return Math.min(most, 1000)
    })
    const large = Buffer.alloc(9_500, 'x')
    const headers = { 'content-length': String(large.length) }
    const outcome = await throttled.upload(grant(headers), large, NEVER)
    expect([outcome.done, pieces]).toEqual(['stored', 10])
    expect(seen.at(-1)?.body.equals(large)).toBe(true)
    pieces = 0
    letThrough = 3
    const stop = new AbortController()
    const stopped = throttled.upload(grant(headers), large, stop.signal)
    await eventually('three pieces', () => pieces > letThrough)
    const whole = seen.length
    stop.abort()
    expect((await stopped).done).toBe('failed')
    // The next one begins anew.
    letThrough = Infinity
    expect((await throttled.upload(grant(headers), large, NEVER)).done).toBe('stored')
    expect(seen.length).toBe(whole + 1)
    throttled.close()
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
      { done: 'failed', regrant: false, lasting: false, slow: true },
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
    [
      429,
      '<Error><Code>TooManyRequests</Code></Error>',
      { done: 'failed', lasting: false, slow: true },
    ],
    [
      400,
      '<Error><Code>IncompleteBody</Code></Error>',
      { done: 'failed', regrant: false, lasting: false, slow: false },
    ],
    [301, '', { done: 'failed', regrant: false, lasting: true }],
  ])('answered with %i %s is understood', async (status, text, expected) => {
    answers(status, { location: 'http://elsewhere/' }, text)
    expect(await put.upload(grant(), body, NEVER)).toMatchObject(expected)
  })

  test('refused is told in the words of the store, of which nothing can harm a terminal', async () => {
    const message = `Request is\x1b[31m not yours${'x'.repeat(1000)}`
    answers(403, {}, `<Error><Code>AccessDenied</Code><Message>${message}</Message></Error>`)
    const refused = await put.upload(grant(), body, NEVER)
    expect(refused).toMatchObject({ done: 'failed' })
    const problem = 'problem' in refused ? refused.problem : ''
    expect(problem).toMatch(/^the store answered 403 AccessDenied \(Request is \[31m not yours/)
    expect(problem.length).toBeLessThan(400)
    answers(500, {}, '<html>nginx \x1b]0;evil\x07</html>')
    expect(await put.upload(grant(), body, NEVER)).toMatchObject({
      problem: 'the store answered 500',
    })
  })

  test('that gets no answer, or half of one, is given up after the time without movement', async () => {
    const hasty = httpPut({ ...PATIENCE, idle: 400 })
    try {
      answer = () => undefined
      const silent = await hasty.upload(grant(), body, NEVER)
      expect(silent).toMatchObject({
        done: 'failed',
        lasting: false,
        // Of so small a body both limits are over at the same moment.
        problem: expect.stringMatching(
          /^(nothing moved for|it took longer than) 0\.4 s$/,
        ) as string,
      })
      answer = (response) => {
        response.writeHead(200, { etag: 'x', 'content-length': '100' })
        response.write('half')
      }
      expect(await hasty.upload(grant(), body, NEVER)).toMatchObject({ done: 'failed' })
    } finally {
      hasty.close()
    }
  })

  test('that moves ever so slowly is given up after a time that goes by its size', async () => {
    const hasty = httpPut({ ...PATIENCE, idle: 200 })
    try {
      const ends: (() => void)[] = []
      answer = (response) => {
        response.writeHead(200, { etag: 'x' })
        const drop = setInterval(() => response.write('.'), 20)
        ends.push(() => {
          clearInterval(drop)
          response.destroy()
        })
      }
      const outcome = await hasty.upload(grant(), body, NEVER)
      for (const end of ends) end()
      expect(outcome).toMatchObject({ done: 'failed', problem: 'it took longer than 0.2 s' })
    } finally {
      hasty.close()
    }
    expect(longestUpload(16 * MiB, PATIENCE)).toBe(PATIENCE.idle + 1024 * SECOND)
  })

  test('to a name with several addresses tells of each why not', async () => {
    const nobody = { ...grant(), url: 'http://localhost:1/bucket/key' }
    const outcome = await put.upload(nobody, body, NEVER)
    expect(outcome).toMatchObject({ done: 'failed', lasting: false })
    expect('problem' in outcome ? outcome.problem : '').toContain('ECONNREFUSED')
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
