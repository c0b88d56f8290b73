/** What the shell is told. The catalogue gives each error its code; these are the ones of runs. */
import type { BackupStatus } from '#shared/api/backups.ts'
import { CATALOGUE, Failure } from '#shared/errors.ts'

export const EXIT = { done: 0, failed: 1, wrongUse: 2, partial: 3, interrupted: 130 } as const

export const exitOfBackup = (status: BackupStatus): number => {
  if (status === 'completed') return EXIT.done
  return status === 'partial' ? EXIT.partial : EXIT.failed
}

export const exitOfError = (error: unknown): number =>
  error instanceof Failure ? CATALOGUE[error.code].exit : EXIT.failed
