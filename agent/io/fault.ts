import { problemOf } from '#shared/errors.ts'
import type { Fault } from '../core/stat.ts'

/** The errno code of what a file system call threw. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : 'UNKNOWN'

/** Without the call and the path, which Node puts behind a comma: `EACCES: permission denied`. */
export const faultOf = (error: unknown): Fault => ({
  fault: codeOf(error),
  problem: problemOf(error).split(', ')[0] ?? 'unknown',
})
