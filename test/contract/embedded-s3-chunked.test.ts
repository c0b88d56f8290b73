import { createHash, createHmac } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { running, type ChecksumName } from '#server/io/embedded/s3/checksums.ts'
import { pattern } from '../support/s3-hand.ts'
import {
  REGION,
  SECRET,
  send,
  sign,
  startS3,
  type RawResponse,
  type TestS3,
} from '../support/s3-server.ts'

let s3: TestS3
const Bucket = 'chunked'

beforeAll(async () => {
  s3 = await startS3()
  await s3.client().send(new CreateBucketCommand({ Bucket }))
})

afterAll(async () => {
  await s3.close()
})

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')
const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac('sha256', key).update(text).digest()

type Framing = {
  readonly payload: string
  readonly chunk?: number
  readonly trailers?: Readonly<Record<string, string>>
  /** Changes the framed body after it was signed. */
  readonly spoil?: (framed: Buffer) => Buffer
  readonly decodedLength?: number
}

/** Frames as the specification of AWS describes it, written here a second time, independently of the server's reader. */
const frame = (
  data: Buffer,
  seed: { signature: string; time: string },
  framing: Framing,
): Buffer => {
  const { payload, trailers = {}, chunk = 8192 } = framing
  const signs = payload.startsWith('STREAMING-AWS4')
  const date = seed.time.slice(0, 8)
  const key = hmac(hmac(hmac(hmac(`AWS4${SECRET}`, date), REGION), 's3'), 'aws4_request')
  const scope = `${date}/${REGION}/s3/aws4_request`
  let previous = seed.signature
  const pieces: Buffer[] = []
  for (let at = 0; ; at += chunk) {
    const piece = data.subarray(at, at + chunk)
    previous = hmac(
      key,
      ['AWS4-HMAC-SHA256-PAYLOAD', seed.time, scope, previous, sha256(''), sha256(piece)].join(
        '\n',
      ),
    ).toString('hex')
    const extension = signs ? `;chunk-signature=${previous}` : ''
    pieces.push(Buffer.from(`${piece.length.toString(16)}${extension}\r\n`))
    if (piece.length === 0) break
    pieces.push(piece, Buffer.from('\r\n'))
  }
  const lines = Object.entries(trailers).map(([name, value]) => `${name}:${value}`)
  for (const line of lines) pieces.push(Buffer.from(`${line}\r\n`))
  if (payload === 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER') {
    const text = lines.map((line) => `${line}\n`).join('')
    const signature = hmac(
      key,
      ['AWS4-HMAC-SHA256-TRAILER', seed.time, scope, previous, sha256(text)].join('\n'),
    )
    pieces.push(Buffer.from(`x-amz-trailer-signature:${signature.toString('hex')}\r\n`))
  }
  pieces.push(Buffer.from('\r\n'))
  return Buffer.concat(pieces)
}

const putFramed = async (key: string, data: Buffer, framing: Framing): Promise<RawResponse> => {
  const names = Object.keys(framing.trailers ?? {})
  const signed = await sign(
    s3.port,
    {
      method: 'PUT',
      path: `/${Bucket}/${key}`,
      headers: {
        'content-encoding': 'aws-chunked',
        'x-amz-decoded-content-length': String(framing.decodedLength ?? data.length),
        ...(names.length === 0 ? {} : { 'x-amz-trailer': names.join(',') }),
      },
    },
    { payload: framing.payload },
  )
  const signature = /Signature=(\w+)/.exec(signed.headers['authorization'] ?? '')?.[1] ?? ''
  const framed = frame(data, { signature, time: signed.headers['x-amz-date'] ?? '' }, framing)
  return send(s3.port, { ...signed, body: framing.spoil?.(framed) ?? framed })
}

const read = async (Key: string): Promise<Buffer> => {
  const { Body, ContentEncoding } = await s3.client().send(new GetObjectCommand({ Bucket, Key }))
  expect(ContentEncoding).toBeUndefined()
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

const base64 = (name: ChecksumName, data: Buffer): string => {
  const sum = running(name)
  // In two uneven pieces, so that a checksum that only works on whole buffers is noticed.
  sum.update(data.subarray(0, 13))
  sum.update(data.subarray(13))
  return sum.digest().toString('base64')
}

const SIGNED = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
const SIGNED_TRAILER = `${SIGNED}-TRAILER`
const UNSIGNED_TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

describe('a body in signed chunks', () => {
  test.each([0, 1, 8192, 8193, 300_000])(
    'of %d bytes is stored without its framing',
    async (size) => {
      const data = pattern(size, 4)
      const response = await putFramed(`signed-${size}`, data, { payload: SIGNED })
      expect(response.status).toBe(200)
      expect((await read(`signed-${size}`)).equals(data)).toBe(true)
    },
  )

  const swap = (framed: Buffer): Buffer => {
    // Two chunks of one length change places: each is genuine, their order is not.
    const length = framed.indexOf('\r\n') + 2 + 8192 + 2
    return Buffer.concat([
      framed.subarray(length, 2 * length),
      framed.subarray(0, length),
      framed.subarray(2 * length),
    ])
  }
  const flipped =
    (at: number) =>
    (framed: Buffer): Buffer => {
      const copy = Buffer.from(framed)
      copy[at] = (copy[at] ?? 0) ^ 1
      return copy
    }
  /** Another digit of it: one flipped bit may make it no digit at all. */
  const forged = (framed: Buffer): Buffer => {
    const copy = Buffer.from(framed)
    copy.write(copy.toString('latin1', 30, 31) === '0' ? '1' : '0', 30, 'latin1')
    return copy
  }

  test.each<readonly [string, (framed: Buffer) => Buffer, string]>([
    ['a flipped bit in the data', flipped(200), 'SignatureDoesNotMatch'],
    ['another digit in a signature', forged, 'SignatureDoesNotMatch'],
    ['chunks in another order', swap, 'SignatureDoesNotMatch'],
    [
      'the last chunk missing',
      (framed) => framed.subarray(0, framed.lastIndexOf('0;chunk')),
      'IncompleteBody',
    ],
    [
      'bytes after the end',
      (framed) => Buffer.concat([framed, Buffer.from('more')]),
      'IncompleteBody',
    ],
    ['no framing at all', () => pattern(20_000, 1), 'IncompleteBody'],
  ])('with %s is refused and leaves nothing', async (name, spoil, code) => {
    const key = `spoilt-${name.replaceAll(' ', '-')}`
    const response = await putFramed(key, pattern(20_000, 6), { payload: SIGNED, spoil })
    expect(response.code).toBe(code)
    const { KeyCount } = await s3.client().send(new ListObjectsV2Command({ Bucket, Prefix: key }))
    expect(KeyCount).toBe(0)
  })

  test('is refused when it decodes to another length than announced', async () => {
    const data = pattern(20_000, 6)
    for (const decodedLength of [19_999, 20_001]) {
      expect((await putFramed('length', data, { payload: SIGNED, decodedLength })).code).toBe(
        'IncompleteBody',
      )
    }
  })
})

describe.each([SIGNED_TRAILER, UNSIGNED_TRAILER])('a body with a trailer (%s)', (payload) => {
  test.each(['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const)(
    'is verified by its %s',
    async (name) => {
      const data = pattern(70_001, 8)
      const trailers = { [`x-amz-checksum-${name}`]: base64(name, data) }
      expect((await putFramed(name, data, { payload, trailers })).status).toBe(200)
      expect((await read(name)).equals(data)).toBe(true)
      const wrong = { [`x-amz-checksum-${name}`]: base64(name, pattern(70_001, 9)) }
      expect((await putFramed('wrong', data, { payload, trailers: wrong })).code).toBe('BadDigest')
    },
  )

  test('is refused without the trailer that it announced', async () => {
    const data = pattern(1000, 8)
    const trailers = { 'x-amz-checksum-crc32': base64('crc32', data) }
    const rename = (framed: Buffer): Buffer =>
      Buffer.from(
        framed.toString('latin1').replace('x-amz-checksum-crc32:', 'x-amz-checksum-crc99:'),
        'latin1',
      )
    const { code } = await putFramed('renamed', data, { payload, trailers, spoil: rename })
    expect(code).toBe(
      payload === SIGNED_TRAILER ? 'SignatureDoesNotMatch' : 'MalformedTrailerError',
    )
  })
})

test('a signed trailer cannot be replaced by another true one', async () => {
  const data = pattern(1000, 8)
  const forged = pattern(1000, 9)
  const trailers = { 'x-amz-checksum-crc32': base64('crc32', data) }
  const spoil = (framed: Buffer): Buffer =>
    Buffer.from(
      framed.toString('latin1').replace(trailers['x-amz-checksum-crc32'], base64('crc32', forged)),
      'latin1',
    )
  expect((await putFramed('x', data, { payload: SIGNED_TRAILER, trailers, spoil })).code).toBe(
    'SignatureDoesNotMatch',
  )
})

test('the checksums have the check values of their definitions', () => {
  const hex = (name: ChecksumName, text: string): string => {
    const sum = running(name)
    sum.update(Buffer.from(text))
    return sum.digest().toString('hex')
  }
  expect(hex('crc32', '123456789')).toBe('cbf43926')
  expect(hex('crc32c', '123456789')).toBe('e3069283')
  expect(hex('crc64nvme', '123456789')).toBe('ae8b14860a799888')
  expect(hex('sha1', 'abc')).toBe('a9993e364706816aba3e25717850c26c9cd0d89d')
  for (let length = 0; length < 70; length += 1) {
    const data = pattern(length, 1)
    const sum = running('crc32')
    sum.update(data)
    expect(sum.digest().readUInt32BE()).toBe(crc32(data))
    for (const name of ['crc32c', 'crc64nvme'] as const) {
      const whole = running(name)
      whole.update(data)
      const single = running(name)
      for (const byte of data) single.update(Buffer.from([byte]))
      expect(single.digest()).toEqual(whole.digest())
    }
  }
})
