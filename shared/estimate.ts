/**
 * How much of a run is done, how fast it goes, and when it may end: as far as that can be known, and not further. Pure.
 *
 * An end is a range. It is said only where the whole is known, and the run moves; its later bound moves on only with a
 * higher number of revisions, so nobody watches it recede without being told.
 */
import { type Ms, SECOND } from './units.ts'

export type Amount = { readonly files: number; readonly bytes: number }

export type Sample = {
  /** Monotonic. */
  readonly at: Ms
  readonly done: Amount
  /** The whole: counted to its end where `exact`, else what the run before had. */
  readonly whole: (Amount & { readonly exact: boolean }) | null
}

export type Estimate = {
  /** 0 to 0.99: what is done is over, and says so in another way. */
  readonly share: number | null
  /** Bytes a second over the last while; null: too early to say. */
  readonly rate: number | null
  /** From now on. */
  readonly left: { readonly least: Ms; readonly most: Ms } | null
  /** So often did the later bound turn out to be too early. */
  readonly revisions: number
}

export type Course = {
  readonly samples: readonly Sample[]
  readonly began: Ms
  readonly promised: Ms | null
  readonly revisions: number
}

/** The last while. */
const WHILE = 30 * SECOND
/** One sample a second. */
const MOST_SAMPLES = 31
const TOO_EARLY = 3 * SECOND
/** A bound that is passed by less than this is kept. */
const SLACK = 0.1
const LEAST_SLACK = 2 * SECOND
const MOST_SHARE = 0.99
/** What was counted is sure; what the run before had is not. */
const SURE = 1.1
const UNSURE = 1.5

export const newCourse = (at: Ms): Course => ({
  samples: [],
  began: at,
  promised: null,
  revisions: 0,
})

const wholeOf = ({ done, whole }: Sample): Sample['whole'] => {
  if (whole === null || whole.exact) return whole
  // More than the run before had: how much more is not known.
  return done.files > whole.files || done.bytes > whole.bytes ? null : whole
}

/** By bytes and by files: the one that is less far counts. */
const shareOf = ({ done }: Sample, whole: Amount): number => {
  const shares = [
    ...(whole.bytes > 0 ? [done.bytes / whole.bytes] : []),
    ...(whole.files > 0 ? [done.files / whole.files] : []),
  ]
  return shares.length === 0 ? 0 : Math.min(MOST_SHARE, ...shares)
}

type Spans = readonly Ms[]

/** The rest at the speed of the whole run so far, and at that of the last while; nothing where nothing moves. */
const spansOf = (course: Course, now: Sample, share: number): Spans => {
  const [first] = course.samples
  const elapsed = now.at - course.began
  if (first === undefined || elapsed < TOO_EARLY || share <= 0) return []
  const files = now.done.files - first.done.files
  const bytes = now.done.bytes - first.done.bytes
  if (files <= 0 && bytes <= 0) return []
  const whole = now.whole ?? { files: 0, bytes: 0 }
  const rest = (left: number, moved: number): Spans =>
    moved > 0 && left > 0 ? [(left / moved) * (now.at - first.at)] : []
  return [
    (elapsed * (1 - share)) / share,
    ...rest(whole.bytes - now.done.bytes, bytes),
    ...rest(whole.files - now.done.files, files),
  ]
}

/** Bytes a second since the first of them. */
const rateOf = ([first]: readonly Sample[], now: Sample): number | null =>
  first === undefined || now.at <= first.at
    ? null
    : Math.max(0, Math.round(((now.done.bytes - first.done.bytes) / (now.at - first.at)) * SECOND))

type Promise = { readonly most: Ms; readonly promised: Ms; readonly revised: boolean }

/** The bound that was said is kept where it is not passed by much; a new one that is later is a revision. */
const promise = (before: Ms | null, at: Ms, most: Ms): Promise => {
  const end = at + most
  if (before === null || end <= before) return { most, promised: end, revised: false }
  if (end - before <= Math.max(LEAST_SLACK, SLACK * most) && before > at)
    return { most: before - at, promised: before, revised: false }
  return { most, promised: end, revised: true }
}

/** Takes up where the run is now. */
export const follow = (course: Course, now: Sample): readonly [Course, Estimate] => {
  const { samples } = course
  const whole = wholeOf(now)
  const share = whole === null ? null : shareOf(now, whole)
  const rate = rateOf(samples, now)
  const kept = [...samples, now].filter(({ at }) => at >= now.at - WHILE).slice(-MOST_SAMPLES)
  const next = { ...course, samples: kept }
  const spans = share === null ? [] : spansOf(course, now, share)
  if (whole === null || spans.length === 0)
    return [next, { share, rate, left: null, revisions: course.revisions }]
  const doubt = whole.exact ? SURE : UNSURE
  const said = promise(course.promised, now.at, Math.max(...spans) * doubt)
  const revisions = course.revisions + (said.revised ? 1 : 0)
  const least = Math.min(said.most, Math.min(...spans) / doubt)
  return [
    { ...next, promised: said.promised, revisions },
    { share, rate, left: { least, most: said.most }, revisions },
  ]
}
