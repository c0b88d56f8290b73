/** The paths of a command line, made absolute and looked at before anything starts. */
import { lstat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fail, problemOf } from '#shared/errors.ts'

export type Chosen = {
  /** Absolute, each once, in order. */
  readonly paths: readonly string[]
  /** Those of them that are not there now: the backup names them, and is partial. */
  readonly missing: readonly { readonly path: string; readonly problem: string }[]
}

/** Throws `SOURCE_UNREADABLE` for the first missing path when none of them is there. */
export const choosePaths = async (given: readonly string[]): Promise<Chosen> => {
  const all = [...new Set(given.map((path) => resolve(path)))].sort()
  const missing: { path: string; problem: string }[] = []
  for (const path of all) {
    try {
      await lstat(path)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null
      missing.push({
        path,
        problem: code === 'ENOENT' ? 'it does not exist' : problemOf(error),
      })
    }
  }
  const [first] = missing
  if (missing.length === all.length && first !== undefined)
    throw fail('SOURCE_UNREADABLE', { path: first.path, problem: first.problem })
  return { paths: all, missing }
}
