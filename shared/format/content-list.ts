/** Where the blobs of a file of more than 64 lie. FORMAT.md, "Content lists". */
import { fail } from '../errors.ts'
import { createCutter, LIST_RULE } from './cutter.ts'
import {
  decodeLines,
  encodeLines,
  levelOf,
  parseJson,
  type Sealed,
  verifySegment,
} from './lines.ts'
import { type Locator, locatorText, parseLocator } from './locator.ts'
import { MAX_INLINE } from './tree.ts'

export type ContentSegment = Sealed & { readonly level: number }

export type ContentLister = {
  /** Takes the next locator of the level below; answers the segments that are complete now. */
  push(locator: Locator): readonly ContentSegment[]
  end(): readonly ContentSegment[]
}

const FORMAT = 'holdfast/content/v1'

/**
 * One level: 0 takes the locators of a file's blobs in order, 1 those of the segments of level 0, and so on. Cut by the
 * first 32 bits of the ids, which are keyed hashes themselves, or hashes of such.
 */
export const createContentLister = (level: number): ContentLister => {
  const cutter = createCutter<string>(LIST_RULE)
  const seal = (lines: readonly string[]): ContentSegment => ({
    ...encodeLines(FORMAT, `,"level":${level}`, lines),
    level,
  })
  return {
    push: (locator) => {
      const line = locatorText(locator)
      const hash = Buffer.from(locator[5], 'base64url').readUInt32BE(0)
      return cutter.push(line, hash, line.length + 1).map(seal)
    },
    end: () => cutter.end().map(seal),
  }
}

/** A whole level at once. */
export const contentLevel = (
  locators: Iterable<Locator>,
  level: number,
): readonly ContentSegment[] => {
  const lister = createContentLister(level)
  const segments: ContentSegment[] = []
  for (const locator of locators) segments.push(...lister.push(locator))
  segments.push(...lister.end())
  return segments
}

/**
 * Builds the lists of one file as a step machine: yields the segments of each level from the lowest up, receives their
 * locators once they lie in packs (equal segments may get the locator of an older one), and returns the `more` of the
 * entry, or `null` where the file has at most 64 blobs and keeps them in its line.
 */
export function* buildContentLists(
  locators: readonly Locator[],
): Generator<readonly ContentSegment[], readonly Locator[] | null, readonly Locator[]> {
  if (locators.length <= MAX_INLINE) return null
  let below = locators
  for (let level = 0; level === 0 || below.length > MAX_INLINE; level += 1) {
    below = yield contentLevel(below, level)
  }
  return below
}

export type ContentList = { readonly level: number; readonly locators: readonly Locator[] }

/** Locators of blobs (level 0) or of lists one level below. `DAMAGED` for anything else. */
export const readContentList = (bytes: Uint8Array): ContentList => {
  const { header, lines } = decodeLines(bytes, FORMAT)
  if (lines.length === 0) throw damaged('it is empty')
  return { level: levelOf(header), locators: lines.map((line) => parseLocator(parseJson(line))) }
}

export type ContentStep =
  | { readonly fetch: Locator; readonly blobs?: never }
  | { readonly blobs: readonly Locator[]; readonly fetch?: never }

/**
 * The blobs of a file with `more`, in order, as a step machine: a step with `fetch` wants that segment's bytes, a step
 * with `blobs` hands out a run of locators and wants nothing. Holds one segment a level.
 */
export function* walkContentLists(
  more: readonly Locator[],
): Generator<ContentStep, void, Uint8Array | undefined> {
  yield* walk(more, null)
}

function* walk(
  locators: readonly Locator[],
  expected: number | null,
): Generator<ContentStep, void, Uint8Array | undefined> {
  for (const locator of locators) {
    const bytes = yield { fetch: locator }
    if (bytes === undefined) throw new RangeError('a step with `fetch` wants bytes')
    verifySegment(bytes, locator)
    const list = readContentList(bytes)
    if (expected !== null && list.level !== expected) throw damaged('its level is not the next')
    if (list.level === 0) yield { blobs: list.locators }
    else yield* walk(list.locators, list.level - 1)
  }
}

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'A content list', problem })
