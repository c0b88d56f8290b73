/** One sealing thread: messages in, messages out, around `createWork`. */
import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { problemOf } from '#shared/errors.ts'
import type { SealingSetup } from '../ports.ts'
import { native } from './native.ts'
import { createWork, type Work } from './seal-work.ts'
import type { Answer, Task } from './seal-messages.ts'

/** What the pool gave this thread: the program itself made it, so only its presence is in question. */
const setupOf = (data: unknown): SealingSetup => {
  if (!isSetup(data)) throw new RangeError('a sealing thread needs its setup')
  return data
}

const isSetup = (data: unknown): data is SealingSetup =>
  typeof data === 'object' && data !== null && 'idKey' in data && 'chunkerKey' in data

const perform = (work: Work, task: Task): Extract<Answer, { kind: 'done' }>['result'] => {
  switch (task.op) {
    case 'files':
      return { op: 'read', ...work.files(task.paths) }
    case 'window':
      return { op: 'read', ...work.window(task.window) }
    case 'place':
      return { op: 'placed', placed: work.place(task.reading, task.fresh, task.numbers) }
    case 'segments':
      return { op: 'placed', placed: work.segments(task.segments, task.numbers) }
    case 'flush':
      work.flush(task.kind)
      return { op: 'flushed' }
  }
}

const port = parentPort
if (port !== null) {
  const setup = setupOf(workerData)
  const post = (answer: Answer, transfer: ArrayBuffer[]): void => port.postMessage(answer, transfer)
  const work = createWork(setup, {
    random: (length) => randomBytes(length),
    now: () => Date.now(),
    native,
    onSealed: (sealed) => {
      const { buffer } = sealed.bytes
      if (buffer instanceof ArrayBuffer) post({ kind: 'sealed', sealed }, [buffer])
    },
  })
  port.on('message', (task: Task) => {
    try {
      post({ kind: 'done', id: task.id, result: perform(work, task) }, [])
    } catch (error) {
      post({ kind: 'failed', id: task.id, problem: problemOf(error) }, [])
    }
  })
}
