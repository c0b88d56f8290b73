import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { CreateBucketCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { httpPut } from '#agent/io/http-put.ts'
import { createSigner } from '#server/io/s3/sign.ts'
import type { Grant } from '#shared/protocol/orders.ts'
import { createFaultPlan, type FaultPlan, HTTP_FAULTS } from '../support/fault-plan.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { seeded } from '../support/seeded.ts'
import { eventually } from '../support/wait.ts'
import {
  ACCESS_KEY,
  REGION,
  sdkClient,
  SECRET,
  startS3,
  type TestS3,
} from '../support/s3-server.ts'

const textOf = (data: RawData): string => (Buffer.isBuffer(data) ? data.toString('utf8') : '')

const saying = (text: string): unknown => expect.stringContaining(text)

const NEVER = new AbortController().signal
const body = seeded('body').bytes(300_000)
const etag = createHash('md5').update(body).digest('hex')
const sha256 = createHash('sha256').update(body).digest('base64url')

describe('in front of a store', () => {
  let s3: TestS3
  let proxy: FaultProxy
  let plan: FaultPlan
  let named = 0
  const put = httpPut()

  beforeAll(async () => {
    s3 = await startS3()
    await s3.client().send(new CreateBucketCommand({ Bucket: 'vaults' }))
    plan = createFaultPlan(seeded('plan'), [], { longestPause: 50 })
    proxy = await startFaultProxy(s3.endpoint, plan)
  })
  afterEach(() => {
    plan.set([])
    plan.reset()
  })
  afterAll(async () => {
    put.close()
    await proxy.close()
    await s3.close()
  })

  /** Signed for the proxy's address. */
  const newGrant = (): Grant => {
    named += 1
    const host = `127.0.0.1:${proxy.port}`
    const place = { origin: proxy.url, host, base: '/vaults/', region: REGION, createOnly: true }
    const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET }
    const key = `object ${named}`
    const now = Date.now()
    const signed = createSigner(place, credentials)({ key, size: body.length, sha256 }, now, now)
    return {
      no: named,
      key,
      url: signed.url,
      headers: { ...signed.headers },
      expires_at: signed.expiresAt,
    }
  }
  const isStored = async (grant: Grant): Promise<boolean> => {
    try {
      await s3.client().send(new HeadObjectCommand({ Bucket: 'vaults', Key: grant.key }))
      return true
    } catch {
      return false
    }
  }

  test('what was signed for the proxy passes as it is', async () => {
    const grant = newGrant()
    expect(await put.upload(grant, body, NEVER)).toEqual({ done: 'stored', etag })
    expect(await put.upload(grant, body, NEVER)).toEqual({ done: 'exists' })
    const sdk = sdkClient(proxy.port)
    const command = { Bucket: 'vaults', Key: 'from the SDK', Body: Buffer.from(body) }
    expect((await sdk.send(new PutObjectCommand(command))).ETag).toBe(`"${etag}"`)
    sdk.destroy()
    expect(plan.counts()).toEqual({})
    expect(plan.seen()).toBe(3)
  })

  const broken = { done: 'failed', regrant: false, lasting: false }
  test.each([
    ['delay', { done: 'stored', etag }, true],
    ['cut', broken, false],
    ['cut-request', broken, false],
    ['truncate-request', { done: 'failed' }, false],
    ['cut-response', broken, true],
    ['truncate-response', broken, true],
    ['error-500', { ...broken, problem: saying('answered 500 InternalError') }, false],
    ['slow-down', { ...broken, problem: saying('answered 503 SlowDown') }, false],
    ['forbidden', { done: 'failed', problem: saying('answered 403 AccessDenied') }, false],
    ['wrong-etag', { done: 'stored', etag: '0'.repeat(32) }, true],
    ['lost-answer', broken, true],
  ] as const)('%s of an upload', async (fault, outcome, stored) => {
    plan.set([{ fault, share: 1, times: 1 }])
    const grant = newGrant()
    expect(await put.upload(grant, body, NEVER)).toMatchObject(outcome)
    expect(plan.counts()).toEqual({ [fault]: 1 })
    expect(await isStored(grant)).toBe(stored)
    const again = stored ? { done: 'exists' } : { done: 'stored', etag }
    expect(await put.upload(grant, body, NEVER)).toEqual(again)
  })

  test('hang of an upload: nothing comes until the one who asks has had enough', async () => {
    plan.set([{ fault: 'hang', share: 1, times: 1 }])
    const enough = new AbortController()
    const grant = newGrant()
    const outcome = put.upload(grant, body, enough.signal)
    await eventually('the request arrives', () => plan.counts().hang === 1)
    enough.abort()
    expect(await outcome).toMatchObject({ done: 'failed' })
    expect(await isStored(grant)).toBe(false)
  })

  test('half an answer is no answer', async () => {
    const text = async (): Promise<string> =>
      (await fetch(`${proxy.url}/vaults?list-type=2`)).text()
    plan.set([{ fault: 'truncate-response', share: 1 }])
    await expect(text()).rejects.toThrow()
    plan.set([])
    expect(await text()).toContain('</Error>')
  })

  test('faults keep to their share, their methods, their paths and their number', () => {
    plan.set([
      { fault: 'error-500', share: 1, methods: ['DELETE'] },
      { fault: 'slow-down', share: 1, path: /never/ },
      { fault: 'forbidden', share: 1, times: 2 },
    ])
    const asked = { method: 'PUT', path: '/vaults/object' }
    expect([1, 2, 3].map(() => plan.request(asked))).toEqual(['forbidden', 'forbidden', null])
    expect(plan.request({ ...asked, method: 'DELETE' })).toBe('error-500')
    plan.reset()
    plan.set(HTTP_FAULTS.map((fault) => ({ fault, share: 0.1 })))
    for (let i = 0; i < 5000; i += 1) plan.request(asked)
    const counts = plan.counts()
    expect(Object.keys(counts).sort()).toEqual([...HTTP_FAULTS].sort())
    expect(counts.delay).toBeGreaterThan(400)
    expect(counts.delay).toBeLessThan(600)
    expect(plan.seen()).toBe(5000)
  })

  test('the same seed harms the same requests', () => {
    const harmed = (): (string | null)[] => {
      const one = createFaultPlan(seeded('x'), [{ fault: 'cut', share: 0.3 }])
      return Array.from({ length: 50 }, () => one.request({ method: 'PUT', path: '/' }))
    }
    expect(harmed()).toEqual(harmed())
    expect(new Set(harmed()).size).toBe(2)
  })

  test('down nobody listens, and up again it is at the same address', async () => {
    await proxy.down()
    expect(await put.upload(newGrant(), body, NEVER)).toMatchObject(broken)
    await proxy.up()
    expect(await put.upload(newGrant(), body, NEVER)).toMatchObject({ done: 'stored' })
  })
})

describe('in front of a WebSocket', () => {
  let server: Server
  let incoming: WebSocketServer
  let proxy: FaultProxy
  let plan: FaultPlan
  const ends: WebSocket[] = []

  beforeAll(async () => {
    server = createServer()
    incoming = new WebSocketServer({ server })
    incoming.on('connection', (socket) => {
      socket.on('message', (data: RawData) => socket.send(`echo ${textOf(data)}`))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    plan = createFaultPlan(seeded('socket'), [], { longestPause: 50 })
    proxy = await startFaultProxy(`http://127.0.0.1:${port}`, plan)
  })
  afterEach(() => {
    plan.set([])
    plan.reset()
    for (const end of ends.splice(0)) end.terminate()
  })
  afterAll(async () => {
    await proxy.close()
    for (const client of incoming.clients) client.terminate()
    server.close()
    await once(server, 'close')
  })

  type Talk = { readonly socket: WebSocket; readonly heard: string[]; code: number | null }
  const talk = async (): Promise<Talk> => {
    const socket = new WebSocket(`${proxy.url.replace('http', 'ws')}/path?x`)
    ends.push(socket)
    const one: Talk = { socket, heard: [], code: null }
    socket.on('message', (data: RawData) => one.heard.push(textOf(data)))
    socket.on('close', (code) => {
      one.code = code
    })
    socket.on('error', () => undefined)
    await once(socket, 'open')
    return one
  }

  test('messages and farewells pass both ways', async () => {
    const one = await talk()
    for (const text of ['a', 'b', 'c']) one.socket.send(text)
    await eventually('three answers', () => one.heard.length === 3)
    expect(one.heard).toEqual(['echo a', 'echo b', 'echo c'])
    for (const client of incoming.clients) client.close(4409, 'superseded')
    await eventually('the farewell', () => one.code === 4409)
    await eventually('the end', () => proxy.sockets() === 0)
  })

  test('delayed ones keep their order', async () => {
    plan.set([{ fault: 'socket-delay', share: 0.5 }])
    const one = await talk()
    const texts = Array.from({ length: 20 }, (_, i) => String(i))
    for (const text of texts) one.socket.send(text)
    await eventually('all answers', () => one.heard.length === texts.length)
    expect(one.heard).toEqual(texts.map((text) => `echo ${text}`))
    expect(plan.counts()['socket-delay']).toBeGreaterThan(5)
  })

  test('a dropped one is gone, and the next passes', async () => {
    plan.set([{ fault: 'socket-drop', share: 1, times: 1, path: /^\/path\?x$/ }])
    const one = await talk()
    one.socket.send('gone')
    one.socket.send('there')
    await eventually('an answer', () => one.heard.length > 0)
    expect(one.heard).toEqual(['echo there'])
  })

  test('one is chosen by what it says', async () => {
    plan.set([{ fault: 'socket-drop', share: 1, text: /^b/ }])
    const one = await talk()
    for (const text of ['a', 'b', 'c']) one.socket.send(text)
    await eventually('two answers', () => one.heard.length === 2)
    expect(one.heard).toEqual(['echo a', 'echo c'])
  })

  test.each(['socket-cut', 'socket-end'] as const)('%s ends both connections', async (fault) => {
    const one = await talk()
    plan.set([{ fault, share: 1, times: 1 }])
    one.socket.send('x')
    await eventually('the end', () => one.code === 1006 && incoming.clients.size === 0)
  })

  test('hangs with both connections open, until one end has had enough', async () => {
    const one = await talk()
    one.socket.send('a')
    await eventually('an answer', () => one.heard.length === 1)
    plan.set([{ fault: 'socket-hang', share: 1, times: 1 }])
    one.socket.send('b')
    await eventually('the fault', () => plan.counts()['socket-hang'] === 1)
    const other = await talk()
    other.socket.send('c')
    await eventually('an answer on another connection', () => other.heard.length === 1)
    expect([one.heard, one.code]).toEqual([['echo a'], null])
    one.socket.terminate()
    await eventually('the end of one', () => one.code === 1006)
    // The other end is not told either.
    expect(incoming.clients.size).toBe(2)
  })
})
