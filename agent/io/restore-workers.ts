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
type Thread = {
  readonly worker: Worker
  readonly waiting: Map<number, Waiting>
  /** Why it takes no more jobs. */
  ended: Error | null
}

const start = (setup: WorkerAsk): Thread => {
  const worker = new Worker(new URL('./restore-worker.ts', import.meta.url))
  const thread: Thread = { worker, waiting: new Map(), ended: null }
  const end = (problem: string): void => {
    thread.ended ??= fail('INTERNAL_AGENT', {
      problem: `a thread of the restore ended: ${problem}`,
    })
    for (const { reject } of thread.waiting.values()) reject(thread.ended)
    thread.waiting.clear()
  }
  worker.on('message', ({ id, result }: WorkerAnswer) => {
    thread.waiting.get(id)?.resolve(result)
    thread.waiting.delete(id)
  })
  worker.on('error', (error) => {
    end(problemOf(error))
  })
  worker.on('exit', (code) => {
    end(`exit code ${code}`)
  })
  worker.postMessage(setup)
  return thread
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
        if (idle.ended !== null) {
          reject(idle.ended)
          return
        }
        idle.waiting.set(asked, { resolve, reject })
        idle.worker.postMessage({ id: asked, job } satisfies WorkerAsk)
      }),
    close: async () => {
      await Promise.all(pool.map(async ({ worker }) => worker.terminate()))
    },
  }
}
