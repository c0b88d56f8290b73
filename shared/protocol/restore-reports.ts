/** Agent → control plane, about restores. Each type has a heading in PROTOCOL.md. */
import { type Static, Type } from '../schema.ts'
import { base64url, envelope, id, list, ofRun, problem, text, whole } from './fields.ts'

export const RestoreAccepted = Type.Object({
  type: Type.Literal('restore.accepted'),
  ...envelope,
  ...ofRun,
})

export const RestoreRefused = Type.Object({
  type: Type.Literal('restore.refused'),
  ...envelope,
  ...ofRun,
  problem,
})

export const SelectionRequest = Type.Object({
  type: Type.Literal('selection.request'),
  ...envelope,
  ...ofRun,
  page: whole,
})

/** Packs and trees by number; both come from one row of numbers. */
export const PacksRequest = Type.Object({
  type: Type.Literal('packs.request'),
  ...envelope,
  ...ofRun,
  packs: list(whole, 64),
})

export const RestoreCounts = Type.Object({
  files: whole,
  directories: whole,
  /** Links, fifos, devices, and further names of a file. */
  others: whole,
  skipped: whole,
  failed: whole,
})

const amounts = {
  counts: RestoreCounts,
  /** Bytes of files restored, and bytes of objects fetched for them. */
  bytes_restored: whole,
  bytes_fetched: whole,
}

export const RestoreProgress = Type.Object({
  type: Type.Literal('restore.progress'),
  ...envelope,
  ...ofRun,
  phase: Type.Union([
    Type.Literal('checking'),
    Type.Literal('restoring'),
    Type.Literal('finishing'),
  ]),
  ...amounts,
  /** What is wanted in all; 0 until it has been counted. */
  files_total: whole,
  bytes_total: whole,
})

export const NotedFile = Type.Object({
  path: text(8192),
  outcome: Type.Union([Type.Literal('skipped'), Type.Literal('failed')]),
  code: text(64),
  problem: text(500),
})

/** Files that were not restored as asked for. */
export const RestoreNoted = Type.Object({
  type: Type.Literal('restore.noted'),
  ...envelope,
  ...ofRun,
  files: list(NotedFile, 100),
})

/** Everything that could be restored is. */
export const RestoreFinish = Type.Object({
  type: Type.Literal('restore.finish'),
  ...envelope,
  ...ofRun,
  status: Type.Union([Type.Literal('completed'), Type.Literal('partial')]),
  ...amounts,
})

/** It was given up. */
export const RestoreEnded = Type.Object({
  type: Type.Literal('restore.ended'),
  ...envelope,
  ...ofRun,
  status: Type.Union([Type.Literal('failed'), Type.Literal('canceled')]),
  problem,
  ...amounts,
})

export const OpenProof = Type.Object({
  type: Type.Literal('open.proof'),
  ...envelope,
  request: id,
  signature: base64url(64),
})

export const RESTORE_REPORTS = {
  'restore.accepted': RestoreAccepted,
  'restore.refused': RestoreRefused,
  'selection.request': SelectionRequest,
  'packs.request': PacksRequest,
  'restore.progress': RestoreProgress,
  'restore.noted': RestoreNoted,
  'restore.finish': RestoreFinish,
  'restore.ended': RestoreEnded,
  'open.proof': OpenProof,
} as const

export type RestoreCounts = Static<typeof RestoreCounts>
export type NotedFile = Static<typeof NotedFile>

export type RestoreReport = Static<(typeof RESTORE_REPORTS)[keyof typeof RESTORE_REPORTS]>

export const isAboutRestore = <R extends { readonly type: string }>(
  report: R,
): report is Extract<R, RestoreReport> => Object.hasOwn(RESTORE_REPORTS, report.type)
