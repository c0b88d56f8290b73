import { Worker } from 'node:worker_threads'
import { fail } from '#shared/errors.ts'
import type { Log } from '#shared/world.ts'
import type { FromThread, ThreadSettings } from './thread.ts'

export type S3Thread = {
  readonly port: number
  /** Lets running requests end, then ends the thread. May be called more than once. */
  close(): Promise<void>
  /** Settles when the thread is gone: null after `close`, else why it died. Never rejects. */
  readonly ended: Promise<Error | null>
}

type Ready = Extract<FromThread, { kind: 'ready' | 'failed' }>

const firstWord = async (worker: Worker, log: Log | undefined): Promise<Ready> =>
  new Promise((resolve) => {
    worker.on('message', (message: FromThread) => {
      if (message.kind === 'log') log?.[message.level](message.fields, message.message)
      else resolve(message)
    })
  })

/** How a thread ended: null when that was wanted, else why. Never rejects. */
export const endOf = async (worker: Worker, isClosing: () => boolean): Promise<Error | null> =>
  new Promise((resolve) => {
    let cause: Error | null = null
    worker.on('error', (error) => {
      cause = error instanceof Error ? error : new Error(String(error))
    })
    worker.on('exit', (code) => {
      const problem = `the S3 thread ended by itself with code ${code}`
      resolve(isClosing() ? null : (cause ?? fail('INTERNAL', { problem })))
    })
  })

/**
 * `serveS3` in a thread of its own, so that hashing never delays the caller's event loop. Throws `STORAGE_UNAVAILABLE` when
 * the folder cannot be used or the port is taken. `log` gets what the thread has to say, its single requests left out.
 */
export const startS3Thread = async (settings: ThreadSettings, log?: Log): Promise<S3Thread> => {
  const worker = new Worker(new URL('./thread.ts', import.meta.url), {
    workerData: settings,
    name: 'embedded-s3',
  })
  let closing = false
  const ended = endOf(worker, () => closing)
  const first = await Promise.race([firstWord(worker, log), ended])
  if (first === null || first instanceof Error || first.kind === 'failed') {
    const problem = first === null ? 'it ended' : 'problem' in first ? first.problem : first.message
    closing = true
    await worker.terminate()
    throw fail('STORAGE_UNAVAILABLE', { storage: settings.folder, verb: 'serve', problem })
  }
  return {
    port: first.port,
    ended,
    close: async () => {
      if (!closing) {
        closing = true
        worker.postMessage('close')
      }
      await ended
    },
  }
}
