/** A thread of a restore: first its setup, then jobs in, results out; and troubles out, what to do about them in. */
import { parentPort } from 'node:worker_threads'
import type { Whereabouts } from '#shared/read/access.ts'
import type { Again, ExtractJob, ExtractResult, Trouble } from '../core/restore-job.ts'
import { createExtract } from './restore-extract.ts'

export type WorkerAsk =
  | { readonly idKey: Uint8Array; readonly tag: string }
  /** `patient`: reads that fail are asked about. */
  | { readonly id: number; readonly job: ExtractJob; readonly patient: boolean }
  | { readonly id: number; readonly next: Whereabouts | null }
  | { readonly halt: true }
export type WorkerAnswer =
  | { readonly id: number; readonly result: ExtractResult }
  | { readonly id: number; readonly trouble: Trouble }

const halt = new AbortController()
/** A job reads one thing at a time: it has at most one question. */
const asked = new Map<number, (next: Whereabouts | null) => void>()
let extract = createExtract(new Uint8Array(), '', halt.signal)

const say = (answer: WorkerAnswer): void => parentPort?.postMessage(answer)

const askAbout =
  (id: number): Again =>
  async (trouble) => {
    if (halt.signal.aborted) return null
    return new Promise((resolve) => {
      asked.set(id, resolve)
      say({ id, trouble })
    })
  }

const answer = (id: number, next: Whereabouts | null): void => {
  asked.get(id)?.(next)
  asked.delete(id)
}

parentPort?.on('message', (ask: WorkerAsk) => {
  if ('idKey' in ask) extract = createExtract(ask.idKey, ask.tag, halt.signal)
  else if ('next' in ask) answer(ask.id, ask.next)
  else if ('halt' in ask) {
    halt.abort()
    for (const id of asked.keys()) answer(id, null)
  } else {
    const { id, job, patient } = ask
    // It answers for every piece by itself; a rejection is a mistake of ours and ends the thread, which is noticed.
    void extract(job, patient ? askAbout(id) : undefined).then((result) => {
      say({ id, result })
    })
  }
})
