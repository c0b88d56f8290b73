/** The embedded S3 endpoint on a temporary folder, with clients that were written elsewhere, and one that can misbehave. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import http, { type IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { SignatureV4 } from '@smithy/signature-v4'
import { type S3Limits, serveS3 } from '#server/io/embedded/s3/serve.ts'
import type { Clock, Log, LogFields } from '#shared/world.ts'

export const ACCESS_KEY = 'HOLDFASTTESTKEY'
export const SECRET = 'not/a+real=secret'
export const REGION = 'us-east-1'
export const KEYS: ReadonlyMap<string, string> = new Map([[ACCESS_KEY, SECRET]])

/** A wall clock that a test can set apart from the real one. */
export type ShiftedClock = Clock & { shift: number }

export const shiftedClock = (): ShiftedClock => {
  const clock: ShiftedClock = {
    shift: 0,
    now: () => Date.now() + clock.shift,
    monotonic: () => performance.now(),
    sleep: async (span, signal) => {
      await wait(span, undefined, { signal })
    },
  }
  return clock
}

export type LogLine = {
  readonly level: string
  readonly message: string
  readonly fields: LogFields
}

export const keptLog = (lines: LogLine[]): Log => {
  const at =
    (level: string) =>
    (fields: LogFields, message: string): void => {
      lines.push({ level, message, fields })
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export type TestS3 = {
  readonly folder: string
  readonly port: number
  readonly endpoint: string
  readonly clock: ShiftedClock
  readonly log: LogLine[]
  client(config?: S3ClientConfig): S3Client
  close(): Promise<void>
}

export const sdkClient = (port: number, config: S3ClientConfig = {}): S3Client =>
  new S3Client({
    endpoint: `http://127.0.0.1:${port}`,
    region: REGION,
    forcePathStyle: true,
    credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
    maxAttempts: 1,
    ...config,
  })

export const temporaryFolder = async (): Promise<string> =>
  mkdtemp(join(tmpdir(), 'holdfast-s3-test-'))

export const startS3 = async (
  limits: Partial<S3Limits> = {},
  keys: ReadonlyMap<string, string> = KEYS,
): Promise<TestS3> => {
  const folder = await temporaryFolder()
  const clock = shiftedClock()
  const log: LogLine[] = []
  const server = await serveS3({
    folder,
    host: '127.0.0.1',
    port: 0,
    region: REGION,
    keys,
    clock,
    log: keptLog(log),
    limits,
  })
  const clients: S3Client[] = []
  return {
    folder,
    port: server.port,
    endpoint: `http://127.0.0.1:${server.port}`,
    clock,
    log,
    client: (config) => {
      const client = sdkClient(server.port, config)
      clients.push(client)
      return client
    },
    close: async () => {
      for (const client of clients) client.destroy()
      await server.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The endpoint in a process of its own, for tests that kill it or run two on one folder. */
export type S3Process = {
  readonly port: number
  readonly child: ChildProcess
  kill(): Promise<void>
}

export const spawnS3 = async (folder: string): Promise<S3Process> => {
  const script = fileURLToPath(new URL('s3-process.ts', import.meta.url))
  const child = spawn(process.execPath, [script, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  const first = once(lines, 'line').then(([line]) => Number(line))
  const port = await Promise.race([first, exited.then(() => Number.NaN)])
  if (Number.isNaN(port)) throw new Error('the S3 process did not start')
  return {
    port,
    child,
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

export type RawRequest = {
  readonly method: string
  /** Percent-encoded, as it goes on the wire. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
}

export type RawResponse = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly bytes: Buffer
  /** The Code of an error document. */
  readonly code: string | undefined
}

export type Signing = {
  readonly at?: Date
  readonly accessKey?: string
  readonly secret?: string
  readonly region?: string
  readonly service?: string
  /** `x-amz-content-sha256`; the body's own by default. */
  readonly payload?: string
  readonly unsigned?: readonly string[]
}

/** The hash as that signer wants it: keyed when it is made with a secret. */
class Sha256 {
  readonly #hash: ReturnType<typeof createHash | typeof createHmac>

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash =
      secret === undefined
        ? createHash('sha256')
        : createHmac('sha256', typeof secret === 'string' ? secret : viewOf(secret))
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(typeof data === 'string' ? data : viewOf(data))
  }

  async digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#hash.digest()))
  }

  reset(): void {
    throw new Error('a hash of this signer is used once')
  }
}

const viewOf = (data: ArrayBuffer | ArrayBufferView): Uint8Array =>
  ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data)

const signer = (signing: Signing): SignatureV4 =>
  new SignatureV4({
    credentials: {
      accessKeyId: signing.accessKey ?? ACCESS_KEY,
      secretAccessKey: signing.secret ?? SECRET,
    },
    region: signing.region ?? REGION,
    service: signing.service ?? 's3',
    sha256: Sha256,
    uriEscapePath: false,
    applyChecksum: true,
  })

const bare = (port: number, request: RawRequest): Parameters<SignatureV4['presign']>[0] => ({
  method: request.method,
  protocol: 'http:',
  hostname: '127.0.0.1',
  port,
  path: request.path,
  query: { ...request.query },
  headers: { host: `127.0.0.1:${port}`, ...request.headers },
})

const target = (path: string, query: Readonly<Record<string, unknown>>): string => {
  const pairs = Object.entries(query).map(
    ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`,
  )
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

/** A request signed in its headers by a signer that is not ours. What it returns can be altered before `send`. */
export const sign = async (
  port: number,
  request: RawRequest,
  signing: Signing = {},
): Promise<{ url: string; method: string; headers: Record<string, string>; body: Buffer }> => {
  const body = request.body ?? Buffer.alloc(0)
  const payload = signing.payload ?? createHash('sha256').update(body).digest('hex')
  const plain = bare(port, request)
  plain.headers['x-amz-content-sha256'] = payload
  const signed = await signer(signing).sign(plain, {
    ...(signing.at === undefined ? {} : { signingDate: signing.at }),
    unsignableHeaders: new Set(signing.unsigned ?? []),
  })
  return {
    url: target(request.path, plain.query ?? {}),
    method: request.method,
    headers: signed.headers,
    body,
  }
}

/** A presigned target. Headers given are signed. */
export const presign = async (
  port: number,
  request: RawRequest,
  signing: Signing & { readonly expiresIn?: number } = {},
): Promise<{ url: string; method: string; headers: Record<string, string>; body: Buffer }> => {
  const plain = bare(port, request)
  plain.headers['x-amz-content-sha256'] ??= 'UNSIGNED-PAYLOAD'
  const unsigned = new Set(signing.unsigned ?? [])
  const given = Object.keys(request.headers ?? {}).filter((name) => !unsigned.has(name))
  const signed = await signer(signing).presign(plain, {
    expiresIn: signing.expiresIn ?? 900,
    ...(signing.at === undefined ? {} : { signingDate: signing.at }),
    unhoistableHeaders: new Set([...given, ...unsigned]),
    signableHeaders: new Set(['host', ...given]),
    unsignableHeaders: unsigned,
  })
  return {
    url: target(request.path, signed.query ?? {}),
    method: request.method,
    headers: { host: `127.0.0.1:${port}`, ...request.headers },
    body: request.body ?? Buffer.alloc(0),
  }
}

/** Sends exactly these headers and bytes. */
export const send = async (
  port: number,
  { url, method, headers, body }: Awaited<ReturnType<typeof sign>>,
): Promise<RawResponse> =>
  new Promise((resolve, reject) => {
    const request = http.request({
      host: '127.0.0.1',
      port,
      path: url,
      method,
      agent: false,
      headers,
    })
    if (body.length > 0 && headers['content-length'] === undefined) {
      request.setHeader('content-length', body.length)
    }
    request.on('error', reject)
    request.on('response', (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => {
        const bytes = Buffer.concat(pieces)
        const text = bytes.toString()
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          bytes,
          code: /<Code>(\w+)<\/Code>/.exec(text)?.[1],
        })
      })
    })
    request.end(body)
  })

export const signAndSend = async (
  port: number,
  request: RawRequest,
  signing: Signing = {},
): Promise<RawResponse> => send(port, await sign(port, request, signing))
