/** A row of `verifications` as the API shows it; what was found is read tolerantly. */
import type { Selectable } from 'kysely'
import type { Finding, VerificationResult } from '#shared/api/findings.ts'
import type { Verification } from '#shared/api/verifications.ts'
import { countOf, fieldOf, reasonOf, textOf } from '../json-fields.ts'
import { isoOrNull } from '../pages.ts'
import type { Schema } from '../schema.ts'

export type VerificationRow = Selectable<Schema['verifications']>

const textsIn = (value: unknown): string[] | null =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : null

/** Of an object: what needs it. */
const needsIn = (from: unknown): Partial<Finding> => {
  const object = fieldOf(from, 'object')
  if (typeof object !== 'string') return {}
  const files = textsIn(fieldOf(from, 'files'))
  return {
    object,
    ...(files === null ? {} : { files, file_count: countOf(from, 'file_count') }),
    backups: textsIn(fieldOf(from, 'backups')) ?? [],
    backup_count: countOf(from, 'backup_count'),
  }
}

const findingIn = (from: unknown): Finding => {
  const to = fieldOf(from, 'to')
  const path = fieldOf(from, 'path')
  return {
    path: typeof path === 'string' ? path : null,
    ...(typeof to === 'string' || to === null ? { to } : {}),
    code: textOf(from, 'code'),
    problem: textOf(from, 'problem'),
    ...needsIn(from),
  }
}

type Summary = Omit<VerificationResult, 'problems'>

export const summaryIn = (from: unknown): Summary | null => {
  const status = fieldOf(from, 'status')
  if (status !== 'passed' && status !== 'failed') return null
  return {
    status,
    files: countOf(from, 'files'),
    objects: countOf(from, 'objects'),
    bytes: countOf(from, 'bytes'),
    problem_count: countOf(from, 'problem_count'),
  }
}

const resultIn = (from: unknown): VerificationResult | null => {
  const summary = summaryIn(from)
  const problems = fieldOf(from, 'problems')
  return summary && { ...summary, problems: Array.isArray(problems) ? problems.map(findingIn) : [] }
}

export const progressIn = (progress: unknown): Verification['progress'] => ({
  bytes_total: countOf(progress, 'bytes_total'),
  bytes_done: countOf(progress, 'bytes_done'),
  files_done: countOf(progress, 'files_done'),
  problem_count: countOf(progress, 'problem_count'),
})

export const shapeVerification = (row: VerificationRow): Verification => ({
  id: row.id,
  org_id: row.org_id,
  backup_id: row.backup_id,
  level: row.level,
  status: row.status,
  open_request_id: row.open_request_id,
  progress: progressIn(row.progress),
  result: resultIn(row.result),
  // Of an attempt that failed there is another one.
  error: row.status === 'failed' || row.status === 'canceled' ? reasonOf(row.error) : null,
  created_at: row.created_at.toISOString(),
  started_at: isoOrNull(row.started_at),
  completed_at: isoOrNull(row.completed_at),
})
