/** Each event of `open` as one JSON object; the lines of a run can be read as they come. */
import { jsonBytes, placePath, showProblem, showTime } from '../../core/open-show.ts'
import type { OpenEvent } from '../../core/open-events.ts'
import { isRestoreEvent, type RestoreCounts, type RestoreEvent } from '../../core/restore-events.ts'
import type { Problem } from '../../core/restore-job.ts'
import type { RecordBody } from '#shared/format/record.ts'
import type { Entry } from '#shared/format/tree.ts'

/** Null for what is of no use to a program. */
export const jsonLine = (event: OpenEvent): string | null => {
  const value = jsonOf(event)
  return value === null ? null : JSON.stringify({ event: event.at, ...value })
}

const problemJson = (problem: Problem): object => ({
  code: problem.code,
  message: showProblem(problem),
})

const jsonOf = (event: OpenEvent): object | null => {
  if (isRestoreEvent(event)) return troubleJson(event)
  switch (event.at) {
    case 'vault': {
      const { vault, trust, fingerprint, backups } = event
      return { vault, trust, fingerprint, backups }
    }
    case 'backup':
    case 'chosen':
      return backupJson(event.body)
    case 'problem':
      return { key: event.key, ...problemJson(event.problem) }
    case 'newer':
      return { key: event.key }
    case 'gap':
      return event.gap
    case 'entry':
      return { ...jsonBytes('path', event.path), ...entryJson(event.entry) }
    case 'restoring':
      return null
    case 'verified':
      return countsJson(event.counts)
    case 'restored':
      return { target: event.folder, ...countsJson(event.counts) }
  }
}

const countsJson = ({
  ownersNotSet,
  attributesNotSet,
  kindsNotSet,
  ...counts
}: RestoreCounts): object => ({
  ...counts,
  owners_not_set: ownersNotSet,
  attributes_not_set: attributesNotSet,
  kinds_not_set: kindsNotSet,
})

const troubleJson = (event: RestoreEvent): object => {
  switch (event.at) {
    case 'lost':
      return {
        ...jsonBytes('from', placePath(event.from)),
        ...(event.to === null ? { to: null } : jsonBytes('to', placePath(event.to))),
        ...problemJson(event.problem),
      }
    case 'damaged':
    case 'failed':
      return { ...jsonBytes('path', event.path), ...problemJson(event.problem) }
    case 'skipped':
      return { ...jsonBytes('path', event.path), reason: event.reason }
    case 'absent':
      return jsonBytes('path', event.path)
  }
}

const backupJson = (body: RecordBody): object => ({
  vault: body.vault,
  job: body.job,
  backup: body.backup,
  sequence: body.sequence,
  host: body.host.hostname,
  started_at: showTime(body.started),
  completed_at: showTime(body.completed),
  files: body.counts.files,
  bytes: body.bytes.source,
  errors: body.errors.count,
  sources: body.sources,
})

const entryJson = (entry: Entry): object => ({
  type: entry.type,
  mode: entry.mode,
  uid: entry.uid,
  gid: entry.gid,
  ...(entry.user === undefined ? {} : { user: entry.user }),
  ...(entry.group === undefined ? {} : { group: entry.group }),
  ...(entry.size === undefined ? {} : { size: entry.size }),
  mtime_ns: String(entry.mtime),
  ...(entry.target === undefined ? {} : jsonBytes('target', entry.target)),
  ...(entry.skipped === undefined ? {} : { skipped: entry.skipped }),
})
