/**
 * How many bytes a second an agent may send and fetch, by the time of day where it matters. Pure.
 *
 * Windows are of wall clock time in their zone: one that a clock change skips does not come that day, one that it repeats
 * comes twice. The first that fits counts, outside of all the limits beside them do.
 */
import { type Static, Type } from './schema.ts'
import { DAY, KiB, MINUTE, type Ms } from './units.ts'

/** Below it not every upload would come to its end while its grant lasts. */
export const LEAST_LIMIT = 64 * KiB

const limit = Type.Union([
  Type.Integer({
    minimum: LEAST_LIMIT,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'bytes a second',
  }),
  Type.Null(),
])

export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Weekday = (typeof WEEKDAYS)[number]

const weekday = Type.Unsafe<Weekday>({ type: 'string', enum: [...WEEKDAYS] })

const clockTime = Type.String({
  pattern: '^([01][0-9]|2[0-3]):[0-5][0-9]$',
  description: 'HH:MM',
  examples: ['08:00'],
})

export const LimitWindow = Type.Object({
  from: clockTime,
  /** Not part of it. Before `from`: of the next day. */
  to: clockTime,
  /** On which it begins; left out: all. */
  days: Type.Optional(Type.Array(weekday, { minItems: 1, maxItems: 7 })),
  upload_limit: limit,
  download_limit: limit,
})

/** null: as fast as it goes. */
export const limitFields = {
  upload_limit: limit,
  download_limit: limit,
  limit_windows: Type.Array(LimitWindow, { maxItems: 50 }),
  timezone: Type.String({ minLength: 1, maxLength: 64, examples: ['Europe/Berlin'] }),
}

export const Limits = Type.Object(limitFields)

export type LimitWindow = Static<typeof LimitWindow>
export type Limits = Static<typeof Limits>
export type Speeds = { readonly upload: number | null; readonly download: number | null }

export const UNLIMITED: Limits = {
  upload_limit: null,
  download_limit: null,
  limit_windows: [],
  timezone: 'UTC',
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** Throws RangeError for a zone that is not known. */
const formatIn = (timezone: string): Intl.DateTimeFormat => {
  const known = formats.get(timezone)
  if (known !== undefined) return known
  const options = { weekday: 'short', hour: '2-digit', minute: '2-digit' } as const
  const format = new Intl.DateTimeFormat('en-GB', {
    ...options,
    timeZone: timezone,
    hourCycle: 'h23',
  })
  formats.set(timezone, format)
  return format
}

export const isTimezone = (timezone: string): boolean => {
  try {
    formatIn(timezone)
    return true
  } catch {
    return false
  }
}

/** Monday is 0. */
type Moment = { readonly day: number; readonly minute: number }

const minuteOf = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3))

const momentIn = (timezone: string, now: Ms): Moment => {
  const parts = formatIn(isTimezone(timezone) ? timezone : 'UTC').formatToParts(now)
  const of = (type: string): string => parts.find((part) => part.type === type)?.value ?? ''
  const name = of('weekday').toLowerCase()
  return {
    day: WEEKDAYS.findIndex((day) => day === name),
    minute: Number(of('hour')) * 60 + Number(of('minute')),
  }
}

const DAY_MINUTES = DAY / MINUTE

const begins = ({ days }: LimitWindow, day: number): boolean =>
  days === undefined || days.some((name) => WEEKDAYS.indexOf(name) === (day + 7) % 7)

const isIn = (window: LimitWindow, { day, minute }: Moment): boolean => {
  const [from, to] = [minuteOf(window.from), minuteOf(window.to)]
  const end = to > from ? to : to + DAY_MINUTES
  const today = begins(window, day) && minute >= from && minute < end
  return today || (begins(window, day - 1) && minute + DAY_MINUTES < end)
}

/** What counts at `now`. A zone that this machine does not know counts as UTC. */
export const speedsAt = (limits: Limits, now: Ms): Speeds => {
  const { limit_windows: windows, timezone } = limits
  const moment = windows.length === 0 ? null : momentIn(timezone, now)
  const window = moment === null ? undefined : windows.find((one) => isIn(one, moment))
  const { upload_limit: upload, download_limit: download } = window ?? limits
  return { upload, download }
}
