import { setTimeout as wait } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { fail, problemOf } from '#shared/errors.ts'
import type { Clock, Log, LogFields } from '#shared/world.ts'
import { isObject } from './record.ts'
import { serveS3, type S3Settings } from './serve.ts'

/**
 * The body of the thread that `start.ts` starts. It says `ready` with the port or `failed`, passes its log lines on, and
 * ends when it is told `close`.
 */
export type ThreadSettings = Omit<S3Settings, 'clock' | 'log'>

export type FromThread =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'failed'; readonly problem: string }
  | {
      readonly kind: 'log'
      readonly level: keyof Log
      readonly fields: LogFields
      readonly message: string
    }

const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (span, stop) => {
    await wait(span, undefined, { signal: stop })
  },
}

const say = (message: FromThread): void => parentPort?.postMessage(message)

const line =
  (level: keyof Log) =>
  (fields: LogFields, message: string): void =>
    say({ kind: 'log', level, fields, message })

const log: Log = {
  debug: () => undefined,
  info: line('info'),
  warn: line('warn'),
  error: line('error'),
}

const isSettings = (value: unknown): value is ThreadSettings =>
  isObject(value) &&
  typeof value['folder'] === 'string' &&
  typeof value['host'] === 'string' &&
  typeof value['port'] === 'number' &&
  typeof value['region'] === 'string' &&
  value['keys'] instanceof Map

const settings: unknown = workerData
try {
  if (!isSettings(settings)) throw fail('WRONG_USE', { problem: 'the thread got no settings' })
  const server = await serveS3({ ...settings, clock, log })
  parentPort?.once('message', () => {
    void server.close().then(() => parentPort?.close())
  })
  say({ kind: 'ready', port: server.port })
} catch (error) {
  say({ kind: 'failed', problem: problemOf(error) })
}
