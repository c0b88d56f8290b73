/** One backup with the first of its files: as much of them as the storage gives in a moment, never an error. */
import type { Backup, BackupDetail } from '#shared/api/backups.ts'
import type { BackupFile } from '#shared/api/files.ts'
import { Failure, hasCode } from '#shared/errors.ts'
import type { StorageId } from '#shared/ids.ts'
import { createRecent, type Recent } from '#shared/read/recent.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Log } from '#shared/world.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import { type Browsing, firstFiles } from './browse-backup.ts'

export type Details = Browsing & {
  readonly clock: Clock
  readonly log: Log
  /** The first files by backup: they never change. */
  readonly firsts: Recent<readonly BackupFile[]>
  /** Storages that did not answer, and until when they are not asked. */
  readonly silent: Recent<{ readonly until: Ms; readonly failure: Failure }>
}

const FIRST = 100
/** Some 50 KiB each. */
const MOST_FIRSTS = 128
const MOST_SILENT = 64
const SILENCE: Ms = 10 * SECOND

export const createDetails = (
  browsing: Browsing,
  world: { readonly clock: Clock; readonly log: Log },
): Details => ({
  ...browsing,
  ...world,
  firsts: createRecent(MOST_FIRSTS),
  silent: createRecent(MOST_SILENT),
})

const read = async (
  parts: Details,
  committed: CommittedBackup,
  stop: AbortSignal,
): Promise<readonly BackupFile[]> => {
  const known = parts.firsts.get(committed.backup)
  if (known !== undefined) return known
  refuseSilent(parts, committed.storage)
  const files = await firstFiles(parts, committed, [FIRST, stop])
  parts.firsts.set(committed.backup, files)
  return files
}

const refuseSilent = ({ silent, clock }: Details, storage: StorageId): void => {
  const known = silent.get(storage)
  if (known !== undefined && clock.monotonic() < known.until) throw known.failure
}

const noted = (parts: Details, committed: CommittedBackup, error: unknown): Failure => {
  if (!(error instanceof Failure)) throw error
  if (hasCode(error, 'STORAGE_UNAVAILABLE')) {
    const until = parts.clock.monotonic() + SILENCE
    parts.silent.set(committed.storage, { until, failure: error })
  }
  parts.log.warn({ backup: committed.backup, code: error.code }, 'the files are not shown')
  return error
}

/** `stop` ends the reading only. */
export const backupDetail = async (
  parts: Details,
  [backup, committed]: readonly [Backup, CommittedBackup | null],
  stop: AbortSignal,
): Promise<BackupDetail> => {
  if (committed === null) return { ...backup, files: [], files_error: null }
  try {
    return { ...backup, files: [...(await read(parts, committed, stop))], files_error: null }
  } catch (error) {
    const { code, message } = noted(parts, committed, error)
    return { ...backup, files: [], files_error: { code, message } }
  }
}
