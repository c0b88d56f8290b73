/** A thread of a restore: first its setup, then jobs in, results out. */
import { parentPort } from 'node:worker_threads'
import type { ExtractJob, ExtractResult } from '../core/restore-job.ts'
import { createExtract } from './restore-extract.ts'

export type WorkerAsk =
  | { readonly idKey: Uint8Array; readonly tag: string }
  | { readonly id: number; readonly job: ExtractJob }
export type WorkerAnswer = { readonly id: number; readonly result: ExtractResult }

let extract = createExtract(new Uint8Array(), '')

parentPort?.on('message', (ask: WorkerAsk) => {
  if ('idKey' in ask) {
    extract = createExtract(ask.idKey, ask.tag)
    return
  }
  // It answers for every piece by itself; a rejection is a mistake of ours and ends the thread, which is noticed.
  void extract(ask.job).then((result) => {
    parentPort?.postMessage({ id: ask.id, result } satisfies WorkerAnswer)
  })
})
