import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { CreateBucketCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MiB, SECOND } from '#shared/units.ts'
import { Bucket } from '../support/s3-hand.ts'
import { sign, signAndSend, startS3, type TestS3 } from '../support/s3-server.ts'

let s3: TestS3
let hasty: TestS3

beforeAll(async () => {
  s3 = await startS3()
  hasty = await startS3({ headers: 300, idle: 300, keepAlive: 300 })
  for (const server of [s3, hasty]) await server.client().send(new CreateBucketCommand({ Bucket }))
})

afterAll(async () => {
  await s3.close()
  await hasty.close()
})

/** Polls a condition that must come true by itself. */
const eventually = async (holds: () => Promise<boolean>): Promise<void> => {
  const until = performance.now() + 20 * SECOND
  while (!(await holds())) {
    if (performance.now() > until) throw new Error('it did not come true in time')
    await wait(10)
  }
}

const temps = async ({ folder }: TestS3): Promise<readonly string[]> => {
  const parent = join(folder, '.holdfast-s3', 'temp')
  const [own = ''] = await readdir(parent)
  return readdir(join(parent, own))
}

const listed = async (server: TestS3): Promise<number> =>
  (await server.client().send(new ListObjectsV2Command({ Bucket }))).KeyCount ?? -1

const head = (signed: Awaited<ReturnType<typeof sign>>): string => {
  const lines = Object.entries(signed.headers).map(([name, value]) => `${name}: ${value}`)
  return [`${signed.method} ${signed.url} HTTP/1.1`, ...lines, '', ''].join('\r\n')
}

type Raw = { readonly socket: Socket; readonly ended: Promise<string> }

/** A connection that does just what it is told; `ended` gives all that the server said until it hung up. */
const open = (server: TestS3, allowHalfOpen = false): Raw => {
  const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen })
  let said = ''
  socket.on('data', (piece: Buffer) => {
    said += piece.toString('latin1')
  })
  socket.on('error', () => undefined)
  const ended = new Promise<string>((resolve) => {
    socket.once('close', () => resolve(said))
    socket.once('end', () => {
      socket.destroy()
      resolve(said)
    })
  })
  return { socket, ended }
}

const putHead = async (
  server: TestS3,
  key: string,
  length: number,
  more: Record<string, string> = {},
): Promise<string> =>
  head(
    await sign(
      server.port,
      {
        method: 'PUT',
        path: `/${Bucket}/${key}`,
        headers: { 'content-length': String(length), ...more },
      },
      { payload: 'UNSIGNED-PAYLOAD' },
    ),
  )

describe('a body that does not arrive', () => {
  test('because the connection was cut leaves nothing', async () => {
    for (const sent of [0, 10, 100_000, 2 * MiB]) {
      const { socket, ended } = open(s3)
      socket.write(await putHead(s3, 'cut', 3 * MiB))
      socket.write(Buffer.alloc(sent))
      if (sent > 0) await eventually(async () => (await temps(s3)).length > 0)
      socket.destroy()
      await ended
      await eventually(async () => (await temps(s3)).length === 0)
    }
    expect(await listed(s3)).toBe(0)
  })

  test('because the sender closed only its half is no object', async () => {
    const { socket, ended } = open(s3, true)
    socket.write(await putHead(s3, 'half', 1000))
    socket.end(Buffer.alloc(999))
    expect(await ended).not.toContain('200 OK')
    await eventually(async () => (await temps(s3)).length === 0)
    expect(await listed(s3)).toBe(0)
  })

  test('because the sender fell silent is given up', async () => {
    const { socket, ended } = open(hasty)
    socket.write(await putHead(hasty, 'silent', 1000))
    socket.write(Buffer.alloc(500))
    expect(await ended).not.toContain('200 OK')
    await eventually(async () => (await temps(hasty)).length === 0)
    expect(await listed(hasty)).toBe(0)
  })

  test('longer than announced ends at its length, and the rest is refused as the next request', async () => {
    const { socket, ended } = open(hasty)
    socket.write((await putHead(hasty, 'long', 10)) + '0123456789')
    await once(socket, 'data')
    socket.write('and more that is no HTTP\r\n\r\n')
    expect(await ended).toMatch(/^HTTP\/1\.1 200 OK[^]*400 Bad Request/)
    const got = await signAndSend(hasty.port, { method: 'GET', path: `/${Bucket}/long` })
    expect(got.text).toBe('0123456789')
  })
})

test('headers that never end, and a connection that asks nothing, are hung up on', async () => {
  const slow = open(hasty)
  slow.socket.write('GET / HTTP/1.1\r\nhost: x\r\n')
  const drip = setInterval(() => slow.socket.write('x-a: b\r\n'), 50)
  const mute = open(hasty)
  try {
    expect(await slow.ended).toMatch(/^(HTTP\/1\.1 408|$)/)
    await mute.ended
  } finally {
    clearInterval(drip)
  }
})

test('a client that does not read its answer is hung up on', async () => {
  const big = await signAndSend(hasty.port, {
    method: 'PUT',
    path: `/${Bucket}/big`,
    body: Buffer.alloc(24 * MiB),
  })
  expect(big.status).toBe(200)
  const socket = connect({ port: hasty.port, host: '127.0.0.1' })
  socket.pause()
  socket.write(head(await sign(hasty.port, { method: 'GET', path: `/${Bucket}/big` })))
  // The server says a line when it is done with a request: here, when it has given it up.
  await eventually(async () =>
    Promise.resolve(
      hasty.log.some(
        ({ fields }) => fields['method'] === 'GET' && fields['path'] === `/${Bucket}/big`,
      ),
    ),
  )
  let bytes = 0
  socket.on('data', (piece: Buffer) => {
    bytes += piece.length
  })
  socket.on('error', () => undefined)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.resume()
  await closed
  expect(bytes).toBeLessThan(24 * MiB)
})

test('one connection serves many requests, also after refusals with a body', async () => {
  const { socket, ended } = open(s3)
  const said: string[] = []
  socket.on('data', (piece: Buffer) => said.push(piece.toString('latin1')))
  const ask = async (text: string): Promise<string> => {
    said.length = 0
    socket.write(text)
    await eventually(async () => Promise.resolve(said.join('').includes('\r\n\r\n')))
    return said.join('').split('\r\n', 1)[0] ?? ''
  }
  const body = 'x'.repeat(100_000)
  expect(await ask((await putHead(s3, 'kept', body.length)) + body)).toBe('HTTP/1.1 200 OK')
  const elsewhere = await sign(
    s3.port,
    {
      method: 'PUT',
      path: '/no-such-bucket/x',
      headers: { 'content-length': String(body.length) },
    },
    { payload: 'UNSIGNED-PAYLOAD' },
  )
  expect(await ask(head(elsewhere) + body)).toBe('HTTP/1.1 404 Not Found')
  expect(await ask((await putHead(s3, 'kept', body.length, { 'if-none-match': '*' })) + body)).toBe(
    'HTTP/1.1 412 Precondition Failed',
  )
  expect(await ask(`PUT /${Bucket}/x HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello`)).toBe(
    'HTTP/1.1 403 Forbidden',
  )
  expect(await ask(head(await sign(s3.port, { method: 'GET', path: `/${Bucket}/kept` })))).toBe(
    'HTTP/1.1 200 OK',
  )
  socket.destroy()
  await ended
})

test('who asks before sending is told no without sending', async () => {
  const { socket, ended } = open(s3)
  socket.write(
    await putHead(s3, 'expected', 5_000_000_000, { 'if-none-match': '*' }).then((text) =>
      text.replace('\r\n\r\n', '\r\nexpect: 100-continue\r\n\r\n'),
    ),
  )
  await eventually(async () => Promise.resolve(socket.bytesRead > 0))
  socket.destroy()
  expect(await ended).toBe('HTTP/1.1 100 Continue\r\n\r\n')
  await signAndSend(s3.port, { method: 'PUT', path: `/${Bucket}/expected`, body: Buffer.from('x') })
  const again = open(s3)
  again.socket.write(
    await putHead(s3, 'expected', 5_000_000_000, { 'if-none-match': '*' }).then((text) =>
      text.replace('\r\n\r\n', '\r\nexpect: 100-continue\r\n\r\n'),
    ),
  )
  expect(await again.ended).toMatch(/^HTTP\/1\.1 412/)
})

test('nothing here was an error of the endpoint itself', () => {
  const lines = [...s3.log, ...hasty.log]
  expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
