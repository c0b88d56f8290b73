/** Reads ranges of objects, by file or by URL, in any thread. What can pass by itself is tried again, then said. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Failure, fail, hasCode, problemOf } from '#shared/errors.ts'
import { SECOND } from '#shared/units.ts'
import type { Whereabouts } from '#shared/read/access.ts'
import type { ReadOnce, ReadOutcome } from '../core/restore-ports.ts'
import { getRange, readInto } from './http-get.ts'

const ATTEMPTS = 4
const FIRST_PAUSE = 100
/** A server that sends nothing for this long is given up on; one that drips is, too, in the end. */
const SILENCE = 30 * SECOND
const LONGEST = 600 * SECOND

type Range = { readonly start: number; readonly end: number }
type Answer = { readonly total: number | null; readonly bytes: Uint8Array }

/** Where the bytes that are read go: this many of them. */
export type Memory = (length: number) => Uint8Array

const fresh: Memory = (length) => Buffer.allocUnsafeSlow(length)

/** Exactly the bytes `[start, end)` of the object. Errors as `ObjectSource.read` (ports.ts). */
export const readRange = async (
  at: Whereabouts,
  range: Range,
  key: string,
  memory?: Memory,
): Promise<Uint8Array> => {
  if (range.end <= range.start) return new Uint8Array()
  const { bytes } = await retrying(async () => readAt(at, range, { key, memory }))
  return bytes
}

const readAt = async (at: Whereabouts, range: Range, how: Fetching): Promise<Answer> =>
  'file' in at ? readFileRange(at.file, range, how) : fetchRange(at.url, range, how)

/** One try, and what kind of failure it was. */
export const readOnce = async (
  { at, key }: Parameters<ReadOnce>[0],
  range: Range,
  stop: AbortSignal,
  memory?: Memory,
): Promise<ReadOutcome> => {
  try {
    const { bytes } = await readAt(at, range, { key, stop, memory })
    return { done: 'read', bytes }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const { code, details } = error
    return { done: 'failed', how: kindOf(error), problem: { code, details } }
  }
}

const kindOf = (error: Failure): 'final' | 'refused' | 'passing' => {
  if (hasCode(error, 'MISSING_OBJECT') || hasCode(error, 'DAMAGED')) return 'final'
  return refusals.has(error) ? 'refused' : 'passing'
}

/** Size of the object behind a URL, without HEAD: a presigned GET allows only GET. Null when it is not there. */
export const sizeOfUrl = async (url: string, key: string): Promise<number | null> => {
  try {
    const { total } = await retrying(async () => fetchRange(url, { start: 0, end: 1 }, { key }))
    if (total === null) throw unavailable(url, 'the server does not tell the size')
    return total
  } catch (error) {
    if (hasCode(error, 'MISSING_OBJECT')) return null
    throw error
  }
}

const retrying = async (attempt: () => Answer | Promise<Answer>): Promise<Answer> => {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt()
    } catch (error) {
      const settled = hasCode(error, 'MISSING_OBJECT') || hasCode(error, 'DAMAGED')
      if (settled || (error instanceof Failure && refusals.has(error)) || tries === ATTEMPTS)
        throw error
      await sleep(FIRST_PAUSE * 2 ** tries)
    }
  }
}

const readFileRange = (
  path: string,
  { start, end }: Range,
  { key, memory = fresh }: Fetching,
): Answer => {
  const bytes = memory(end - start)
  let fd: number | null = null
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOCTTY)
    let got = 0
    while (got < bytes.length) {
      const more = readSync(fd, bytes, got, bytes.length - got, start + got)
      if (more === 0) throw tooShort(key)
      got += more
    }
    return { total: fstatSync(fd).size, bytes }
  } catch (error) {
    throw fileError(error, path, key)
  } finally {
    if (fd !== null) closeSync(fd)
  }
}

/** Absent is one thing, unreadable another: only the first is said of the vault. */
export const fileError = (error: unknown, path: string, key: string): unknown => {
  if (hasCode(error, 'DAMAGED')) return error
  const code = error instanceof Error && 'code' in error ? error.code : ''
  if (code === 'ENOENT' || code === 'ENOTDIR') return fail('MISSING_OBJECT', { key })
  return fail('SOURCE_UNREADABLE', { path, problem: problemOf(error) }, { cause: error })
}

const tooShort = (key: string): Error =>
  fail('DAMAGED', { what: `The object ${key}`, problem: 'it is shorter than it was written' })

/** The query of a presigned URL is a secret: errors name the rest. */
const nameOf = (url: string): string => {
  const { origin, pathname } = new URL(url)
  return origin + pathname
}

const unavailable = (url: string, problem: string, cause?: unknown): Failure =>
  fail('STORAGE_UNAVAILABLE', { storage: nameOf(url), verb: 'get', problem }, { cause })

/** What asking again would not change. */
const refusals = new WeakSet<Failure>()

const refused = (url: string, problem: string): Failure => {
  const failure = unavailable(url, problem)
  refusals.add(failure)
  return failure
}

type Fetching = {
  readonly key: string
  readonly stop?: AbortSignal | undefined
  readonly memory?: Memory | undefined
}

const fetchRange = async (
  url: string,
  range: Range,
  { key, stop: outside, memory = fresh }: Fetching,
): Promise<Answer> => {
  const stop = new AbortController()
  const signal = outside === undefined ? stop.signal : AbortSignal.any([stop.signal, outside])
  const longest = setTimeout(() => {
    stop.abort(new Error('it took too long'))
  }, LONGEST)
  const silence = setTimeout(() => {
    stop.abort(new Error('it fell silent'))
  }, SILENCE)
  try {
    const response = await getRange(url, range, signal)
    try {
      const total = checkAnswer(response, { range, url, key })
      const bytes = memory(range.end - range.start)
      const rest = await readInto(response, bytes, () => silence.refresh())
      if (rest > 0) throw unavailable(url, 'it sends more than asked for')
      if (rest < 0) throw unavailable(url, 'it sends less than it says')
      return { total, bytes }
    } finally {
      if (!response.complete) response.destroy()
    }
  } catch (error) {
    if (error instanceof Failure) throw error
    const why: unknown = stop.signal.aborted ? stop.signal.reason : error
    throw unavailable(url, problemOf(why), error)
  } finally {
    clearTimeout(longest)
    clearTimeout(silence)
  }
}

type Asked = { readonly range: Range; readonly url: string; readonly key: string }

/** Always there in what a client gets. */
const statusOf = ({ statusCode = 0 }: IncomingMessage): number => statusCode

/** The object's size where it was told. Throws unless the answer is to exactly this range. */
const checkAnswer = (response: IncomingMessage, asked: Asked): number | null => {
  const { headers } = response
  const status = statusOf(response)
  const { url, key, range } = asked
  if (status === 404 || status === 410) throw fail('MISSING_OBJECT', { key })
  if (status === 416) throw tooShort(key)
  if (status >= 300 && status < 400) {
    throw refused(url, 'it answers with a redirect, which is refused')
  }
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw refused(url, 'it sends an encoding that was not asked for')
  }
  if (status === 206) return checkRange(headers['content-range'] ?? '', asked)
  if (status >= 500 || status === 429) throw unavailable(url, `it answers ${String(status)}`)
  if (status !== 200) throw refused(url, `it answers ${String(status)}`)
  // A server without ranges sends the whole object: good only where that is what was asked for.
  if (range.start !== 0 || headers['content-length'] !== String(range.end)) {
    throw refused(url, 'it does not serve ranges')
  }
  return range.end
}

const checkRange = (told: string, { range, url, key }: Asked): number | null => {
  const parts = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(told)
  if (parts === null) throw refused(url, 'it does not say which range it sends')
  const total = parts[3] === '*' ? null : Number(parts[3])
  if (total !== null && total < range.end) throw tooShort(key)
  if (Number(parts[1]) !== range.start || Number(parts[2]) !== range.end - 1) {
    throw refused(url, 'it sends another range than asked for')
  }
  return total
}
