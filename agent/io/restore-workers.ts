/** The threads of a restore. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { fail, problemOf } from '#shared/errors.ts'
import type { Again, ExtractResult } from '../core/restore-job.ts'
import type { Extractors } from '../core/restore-ports.ts'
import type { WorkerAnswer, WorkerAsk } from './restore-worker.ts'

export type ThreadsOptions = {
  readonly idKey: Uint8Array
  readonly tag: string
  readonly threads: number
  /** Jobs under way in each thread: more than two only where the source is far away. */
  readonly each: number
}

/** MiB; most of a thread's garbage dies young, and without a bound its nursery alone grows to 48. */
const YOUNG = 12

/** Jobs that were broken off get this long to leave nothing behind. */
const FAREWELL = 700

type Waiting = {
  readonly resolve: (result: ExtractResult) => void
  readonly reject: (error: unknown) => void
  readonly again: Again | undefined
}
type Thread = {
  readonly worker: Worker
  readonly waiting: Map<number, Waiting>
  /** Why it takes no more jobs. */
  ended: Error | null
  /** Called when the last job is answered. */
  idle: () => void
}

const tell = ({ worker }: Thread, ask: WorkerAsk): void => worker.postMessage(ask)

/** What cannot be decided any more is not read any more: the job answers, and nobody listens to it. */
const decide = async (
  thread: Thread,
  answer: Extract<WorkerAnswer, { trouble: unknown }>,
): Promise<void> => {
  const { id, trouble } = answer
  const decided = thread.waiting.get(id)?.again?.(trouble) ?? Promise.resolve(null)
  tell(thread, { id, next: await decided.catch(() => null) })
}

const take = (thread: Thread, answer: WorkerAnswer): void => {
  if ('trouble' in answer) {
    void decide(thread, answer)
    return
  }
  const { id, result } = answer
  thread.waiting.get(id)?.resolve(result)
  thread.waiting.delete(id)
  if (thread.waiting.size === 0) thread.idle()
}

const start = (setup: WorkerAsk): Thread => {
  const worker = new Worker(new URL('./restore-worker.ts', import.meta.url), {
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG },
  })
  const thread: Thread = { worker, waiting: new Map(), ended: null, idle: () => undefined }
  const end = (problem: string): void => {
    thread.ended ??= fail('INTERNAL_AGENT', {
      problem: `a thread of the restore ended: ${problem}`,
    })
    for (const { reject } of thread.waiting.values()) reject(thread.ended)
    thread.waiting.clear()
    thread.idle()
  }
  worker.on('message', (answer: WorkerAnswer) => {
    take(thread, answer)
  })
  worker.on('error', (error) => {
    end(problemOf(error))
  })
  worker.on('exit', (code) => {
    end(`exit code ${code}`)
  })
  tell(thread, setup)
  return thread
}

/** Whether all jobs had answered. */
const stop = async (thread: Thread): Promise<boolean> => {
  thread.ended ??= fail('CANCELED')
  if (thread.waiting.size > 0) {
    const idle = new Promise<void>((resolve) => (thread.idle = resolve))
    tell(thread, { halt: true })
    const late = new AbortController()
    await Promise.race([idle, sleep(FAREWELL, undefined, late).catch(() => undefined)])
    late.abort()
  }
  const isTidy = thread.waiting.size === 0
  await thread.worker.terminate()
  return isTidy
}

/** Starts the threads; `close` ends them, and with them every job under way. */
export const startExtractors = ({ idKey, tag, threads, each }: ThreadsOptions): Extractors => {
  const pool = Array.from({ length: threads }, (_, i) => start({ idKey, tag: `${tag}-${i}` }))
  let asked = 0
  let closing: Promise<void> | null = null
  let untidy = false
  return {
    width: threads * each,
    run: async (job, again) =>
      new Promise((resolve, reject) => {
        asked += 1
        const idle = pool.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a))
        if (idle.ended !== null) {
          reject(idle.ended)
          return
        }
        idle.waiting.set(asked, { resolve, reject, again })
        tell(idle, { id: asked, job, patient: again !== undefined })
      }),
    close: async () => {
      closing ??= Promise.all(pool.map(stop)).then((tidy) => {
        untidy = tidy.includes(false)
      })
      await closing
    },
    get untidy() {
      return untidy
    },
  }
}
