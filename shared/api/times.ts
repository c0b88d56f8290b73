/** Points in time as clients give them: ISO 8601 with a zone, or a day, which begins at midnight UTC. Pure. */
import { fail } from '../errors.ts'
import type { Ms } from '../units.ts'

const ISO =
  /^(\d{4})-(\d{2})-(\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/

const isDay = (year: number, month: number, day: number): boolean => {
  const at = new Date(Date.UTC(year, month - 1, day))
  return at.getUTCMonth() === month - 1 && at.getUTCDate() === day
}

/** Throws `VALIDATION_FAILED` naming `field` for another form, a day that no calendar has, and years before 1970. */
export const parseTime = (given: string, field: string): Ms => {
  const [, year, month, day] = ISO.exec(given) ?? []
  const at = Date.parse(given)
  if (
    year === undefined ||
    at < 0 ||
    !isDay(Number(year), Number(month), Number(day)) ||
    !(at >= 0)
  )
    throw fail('VALIDATION_FAILED', {
      field,
      problem: 'is not a time such as "2026-11-21T08:00:00Z"',
    })
  return at
}
