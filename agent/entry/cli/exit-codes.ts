import { CATALOGUE, Failure, problemOf } from '#shared/errors.ts'
import { shown } from '#shared/shown.ts'

/** The exit code that the catalogue gives an error; 1 for what is not in it. */
export const exitCodeOf = (error: unknown): number =>
  error instanceof Failure ? CATALOGUE[error.code].exit : 1

/** One line for a person. */
export const lineOf = (error: unknown): string =>
  error instanceof Failure ? `${shown(error.message)} (${error.code})` : problemOf(error)
