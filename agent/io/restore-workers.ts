/** The threads of a restore. */
import { Worker } from 'node:worker_threads'
import { fail, problemOf } from '#shared/errors.ts'
import type { ExtractResult } from '../core/restore-job.ts'
import type { Extractors } from '../core/restore-ports.ts'
import type { WorkerAnswer, WorkerAsk } from './restore-worker.ts'

export type ThreadsOptions = {
  readonly idKey: Uint8Array
  readonly tag: string
  readonly threads: number
  /** Jobs under way in each thread: more than two only where the source is far away. */
  readonly each: number
}

type Waiting = {
  readonly resolve: (result: ExtractResult) => void
  readonly reject: (error: unknown) => void
}
type Thread = { readonly worker: Worker; readonly waiting: Map<number, Waiting> }

const start = (setup: WorkerAsk): Thread => {
  const waiting = new Map<number, Waiting>()
  const worker = new Worker(new URL('./restore-worker.ts', import.meta.url))
  worker.postMessage(setup)
  const end = (problem: string): void => {
    for (const { reject } of waiting.values()) reject(fail('INTERNAL_AGENT', { problem }))
    waiting.clear()
  }
  worker.on('message', ({ id, result }: WorkerAnswer) => {
    waiting.get(id)?.resolve(result)
    waiting.delete(id)
  })
  worker.on('error', (error) => {
    end(problemOf(error))
  })
  worker.on('exit', () => {
    end('a thread of the restore ended')
  })
  return { worker, waiting }
}

/** Starts the threads; `close` ends them, and with them every job under way. */
export const startExtractors = ({ idKey, tag, threads, each }: ThreadsOptions): Extractors => {
  const pool = Array.from({ length: threads }, (_, i) => start({ idKey, tag: `${tag}-${i}` }))
  let asked = 0
  return {
    width: threads * each,
    run: async (job) =>
      new Promise((resolve, reject) => {
        asked += 1
        const idle = pool.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a))
        idle.waiting.set(asked, { resolve, reject })
        idle.worker.postMessage({ id: asked, job } satisfies WorkerAsk)
      }),
    close: async () => {
      await Promise.all(pool.map(async ({ worker }) => worker.terminate()))
    },
  }
}
