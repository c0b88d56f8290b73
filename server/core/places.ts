/** Where on a server something is written: absolute paths, and whether two of them can touch. Pure. */
import { fail } from '#shared/errors.ts'

/** Double and last slashes taken away. `VALIDATION_FAILED` for what is not absolute, or has `.` and `..` in it. */
export const parsePlace = (text: string, field: string): string => {
  const names = text.split('/').filter((name) => name !== '')
  if (!text.startsWith('/') || text.includes('\0') || names.some((n) => n === '.' || n === '..'))
    throw fail('VALIDATION_FAILED', { field, problem: 'must be an absolute path without . and ..' })
  return `/${names.join('/')}`
}

const isBelow = (path: string, top: string): boolean =>
  path === top || path.startsWith(top === '/' ? '/' : `${top}/`)

/** Whether one of them is, or lies below, one of the others, or the other way round. */
export const touches = (some: readonly string[], others: readonly string[]): boolean =>
  some.some((a) => others.some((b) => isBelow(a, b) || isBelow(b, a)))
