/** The pool of sealing threads behind the port `Sealing`. */
import { Worker } from 'node:worker_threads'
import { fail, problemOf } from '#shared/errors.ts'
import { release } from '#shared/format/bytes.ts'
import type { ReadFiles } from '../core/sealing.ts'
import type { OnSealed, Reading, Sealing, SealingSetup, Sealers } from '../ports.ts'
import type { Answer, Result, Task, Work } from './seal-messages.ts'

/** One is read while the other waits for the answer which of its blobs are new. */
const READINGS_A_THREAD = 2

/** Most of a thread's garbage dies young; without a bound its nursery alone grows to 48 MiB. */
const YOUNG = 12

type Waiting = {
  readonly resolve: (result: Result) => void
  readonly reject: (error: Error) => void
}

type Thread = {
  readonly ask: (work: Work) => Promise<Result>
  readonly close: () => Promise<void>
  busy: number
}

const stopped = (problem: string): Error =>
  fail('INTERNAL_AGENT', { problem: `a sealing thread ended: ${problem}` })

const startThread = (setup: SealingSetup, onSealed: OnSealed): Thread => {
  const worker = new Worker(new URL('./seal-worker.ts', import.meta.url), {
    workerData: setup,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG },
  })
  const waiting = new Map<number, Waiting>()
  let ended: Error | null = null
  let last = 0
  const end = (problem: string): void => {
    ended ??= stopped(problem)
    for (const { reject } of waiting.values()) reject(ended)
    waiting.clear()
  }
  worker.on('message', (answer: Answer) => {
    if (answer.kind === 'sealed') {
      const { sealed } = answer
      onSealed(sealed, () => release(sealed.bytes))
      return
    }
    const asked = waiting.get(answer.id)
    waiting.delete(answer.id)
    if (answer.kind === 'done') asked?.resolve(answer.result)
    else asked?.reject(fail('INTERNAL_AGENT', { problem: answer.problem }))
  })
  worker.on('error', (error) => end(problemOf(error)))
  worker.on('exit', (code) => end(`exit code ${String(code)}`))
  return {
    busy: 0,
    ask: async (work) => {
      if (ended !== null) throw ended
      last += 1
      const task: Task = { ...work, id: last }
      return await new Promise((resolve, reject) => {
        waiting.set(task.id, { resolve, reject })
        worker.postMessage(task)
      })
    },
    close: async () => {
      end('it was closed')
      await worker.terminate()
    },
  }
}

const unexpected = (): Error =>
  fail('INTERNAL_AGENT', { problem: 'a sealing thread misunderstood' })

const placedOf = (result: Result): Extract<Result, { op: 'placed' }>['placed'] => {
  if (result.op !== 'placed') throw unexpected()
  return result.placed
}

const readingOf = (thread: Thread, reading: number, files: ReadFiles): Reading => ({
  files,
  place: async (fresh, numbers) => {
    try {
      return placedOf(await thread.ask({ op: 'place', reading, fresh, numbers }))
    } finally {
      thread.busy -= 1
    }
  },
})

/** `count` threads; each reading goes to the least busy one, all tree segments to the first. */
export const poolOf = (count: number): Sealers => ({
  width: count * READINGS_A_THREAD,
  start: (setup, onSealed) => {
    const threads = Array.from({ length: count }, () => startThread(setup, onSealed))
    const least = (): Thread =>
      threads.reduce((best, thread) => (thread.busy < best.busy ? thread : best))
    const read = async (work: Work): Promise<Reading> => {
      const thread = least()
      thread.busy += 1
      const result = await thread.ask(work)
      if (result.op !== 'read') throw unexpected()
      return readingOf(thread, result.reading, result.files)
    }
    const sealing: Sealing = {
      files: async (paths) => await read({ op: 'files', paths }),
      window: async (window) => await read({ op: 'window', window }),
      segments: async (segments, numbers) => {
        const thread = threads.at(-1) ?? least()
        return placedOf(await thread.ask({ op: 'segments', segments, numbers }))
      },
      flush: async (kind) => {
        await Promise.all(threads.map(async (thread) => await thread.ask({ op: 'flush', kind })))
      },
      close: async () => {
        await Promise.all(threads.map(async (thread) => await thread.close()))
      },
    }
    return sealing
  },
})
