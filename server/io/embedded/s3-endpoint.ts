/** The S3 endpoint of a data folder: its bucket, and a port that stays the same where that can be. */
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fail } from '#shared/errors.ts'
import type { Log } from '#shared/world.ts'
import { startS3Thread, type S3Thread } from './s3/start.ts'

export const BUCKET = 'holdfast'
export const REGION = 'us-east-1'
const HOST = '127.0.0.1'
const NEXT = 20

export type EndpointWish = {
  readonly folder: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Asked for: this one or none. Else the one of the last start, this one, the next ones, any. */
  readonly port: { readonly port: number; readonly asked: boolean }
  /** Where it was at the last start; agents that upload at this moment know that address. */
  readonly lastEndpoint: string | null
}

export type Endpoint = { readonly url: string; readonly thread: S3Thread }

const isFree = async (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ host: HOST, port, exclusive: true }, () => probe.close(() => resolve(true)))
  })

const candidates = ({ port, lastEndpoint }: EndpointWish): number[] => {
  if (port.asked) return [port.port]
  const last = lastEndpoint === null ? [] : [Number(new URL(lastEndpoint).port)]
  const next = Array.from({ length: NEXT }, (_, n) => port.port + n).filter((one) => one < 65_536)
  return [...last, ...next, 0]
}

/** Throws `CONFLICT` where a port that was asked for is taken, and what `startS3Thread` throws. */
export const startEndpoint = async (wish: EndpointWish, log: Log): Promise<Endpoint> => {
  await mkdir(join(wish.folder, BUCKET), { recursive: true, mode: 0o700 })
  for (const port of candidates(wish)) {
    if (port !== 0 && !(await isFree(port))) continue
    const thread = await startS3Thread(
      {
        folder: wish.folder,
        host: HOST,
        port,
        region: REGION,
        keys: new Map([[wish.accessKeyId, wish.secretAccessKey]]),
      },
      log,
    )
    return { url: `http://${HOST}:${thread.port}`, thread }
  }
  throw fail('CONFLICT', {
    problem: `The port ${wish.port.port} for the embedded storage (HOLDFAST_S3_PORT) is taken`,
  })
}
