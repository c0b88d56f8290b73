/** Durations of the API: ISO 8601 or short in, ISO 8601 out (API.md, "Conventions"). Pure. */
import { fail } from '../errors.ts'
import { DAY, HOUR, MINUTE, type Ms, SECOND } from '../units.ts'

const SHORT = /^(\d{1,9})(s|m|h|d|w)$/
const ISO = /^P(?:(\d{1,6})W|(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})S)?)?)$/
const UNITS: Readonly<Record<string, Ms>> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY }

const parseText = (text: string): Ms | null => {
  const short = SHORT.exec(text)
  if (short !== null) return Number(short[1]) * (UNITS[short[2] ?? ''] ?? 0)
  const iso = ISO.exec(text)
  if (iso === null || text.endsWith('P') || text.endsWith('T')) return null
  const [weeks, days, hours, minutes, seconds] = iso
    .slice(1)
    .map((part: string | undefined) => Number(part ?? 0))
  return (
    (weeks ?? 0) * 7 * DAY +
    (days ?? 0) * DAY +
    (hours ?? 0) * HOUR +
    (minutes ?? 0) * MINUTE +
    (seconds ?? 0) * SECOND
  )
}

/** Milliseconds; a number counts seconds. Throws `VALIDATION_FAILED` naming `field`, also outside [least, most]. */
export const parseDuration = (
  given: string | number,
  field: string,
  [least, most]: readonly [least: Ms, most: Ms],
): Ms => {
  const span = typeof given === 'number' ? given * SECOND : parseText(given)
  if (span === null)
    throw fail('VALIDATION_FAILED', { field, problem: 'is not a duration such as "PT1H" or "12h"' })
  if (span < least || span > most)
    throw fail('VALIDATION_FAILED', {
      field,
      problem: `must lie between ${showDuration(least)} and ${showDuration(most)}`,
    })
  return span
}

/** ISO 8601 with days as the largest unit: `P7D`, `PT1H30M`; zero is `PT0S`. */
export const showDuration = (span: Ms): string => {
  const days = Math.floor(span / DAY)
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor((span % DAY) / HOUR), 'H'],
    [Math.floor((span % HOUR) / MINUTE), 'M'],
    [Math.floor((span % MINUTE) / SECOND), 'S'],
  ]
  const clock = parts
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n}${unit}`)
    .join('')
  const date = days > 0 ? `${days}D` : ''
  if (clock !== '') return `P${date}T${clock}`
  return date === '' ? 'PT0S' : `P${date}`
}
