/**
 * Following a backup, a restore or a download while it runs, wherever it runs: all that is told is in the database.
 *
 * Contract for another kind of followed thing:
 * - its tables of events and logs have the columns of `backup_events` and `backup_logs`, with the trigger `hf_tell`
 *   (migration 0003), and their rows are written while the row of the thing is locked, `seq` rising by one from 1;
 * - its row has `progress_no`, which rises whenever its progress or its status changes (trigger `hf_count_progress`);
 * - its `Followable` (ports/following.ts) reads both: `storedIn` of io/db/following.ts does the tracks, `stand` is one
 *   statement of its own;
 * - its route checks that the caller may see it, then hands it to `streams.answer` (entry/http/sse.ts).
 *
 * Each followed thing has one feed, however many watch it: it is looked at when the database says that there is news, and
 * once a second. Watchers pull, each from its own position: from the feed's window, or from the store if they are further
 * behind, so one that does not read costs nothing but its place.
 */
import { fail, problemOf } from '#shared/errors.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Log } from '#shared/world.ts'
import {
  advance,
  emptyWindow,
  eventsFrom,
  extend,
  type FollowEvent,
  inOrder,
  isBehind,
  type Position,
  since,
  type Stand,
  type Stored,
  type Window,
} from '../core/follow.ts'
import type { Followable, News } from '../ports/following.ts'
import { type Bell, createBell } from './bell.ts'

/** The safety net under the news, and what thins out progress. */
const LOOK: Ms = SECOND
/** News that comes in a burst is looked at together. */
const GATHER: Ms = 100
/** A watcher that has nothing to hear hears this, so that both ends know of each other. */
const BEAT: Ms = 15 * SECOND
/** How long a right may be lost before its stream ends. */
const RECHECK: Ms = 60 * SECOND
/** Stored events kept for all watchers of a thing, and read at once: a log line has at most 2,000 characters. */
const WINDOW = 256
const PAGE = 256
/** Streams that one token may hold at once. */
const MOST_STREAMS = 100

export type FollowParts = { readonly news: News; readonly clock: Clock; readonly log: Log }

export type Follow = {
  readonly id: string
  /** What the reader has already. */
  readonly after: Position
  /** Whose streams are counted together. */
  readonly owner: string
  /** Asked again every minute: whether the reader still may. */
  allowed(): Promise<boolean>
}

export type Following = {
  /**
   * Batches of events, from `after` to the end; an empty one says only that nothing happened. `LIMIT_EXCEEDED` at once
   * where the owner has too many; its place is free again when `stop` fires, which it has to.
   */
  follow(
    source: Followable,
    wish: Follow,
    stop: AbortSignal,
  ): AsyncGenerator<readonly FollowEvent[], void, undefined>
  /** It is over, and a reader at `after` has all of it. */
  isDone(source: Followable, id: string, after: Position): Promise<boolean>
  /** Ends every stream now. */
  close(): Promise<void>
}

type Seen = { readonly stand: Stand; readonly window: Window; readonly progressAt: Ms }

type Feed = {
  readonly id: string
  readonly source: Followable
  readonly bell: Bell
  readonly watchers: Set<Bell>
  readonly ended: AbortController
  /** `null` until it was looked at. */
  seen: Seen | null
  isGone: boolean
}

const read = async (feed: Feed, at: Position): Promise<readonly Stored[]> =>
  inOrder(await feed.source.stored(feed.id, at, PAGE), PAGE)

const catchUp = async (feed: Feed, window: Window, stand: Stand): Promise<Window> => {
  let caught = window
  while (isBehind({ ...caught.to, progress: stand.at.progress }, stand)) {
    const stored = await read(feed, caught.to)
    if (stored.length === 0) break
    caught = extend(caught, stored, WINDOW)
  }
  return caught
}

const isNews = (before: Seen | null, after: Seen | null): boolean =>
  before === null ||
  before.window !== after?.window ||
  before.stand.over !== after.stand.over ||
  before.stand.at.progress !== after.stand.at.progress

/** Progress is told at most once in `LOOK`, except at the end. */
const thin = (before: Seen, stand: Stand, now: Ms): Pick<Seen, 'stand' | 'progressAt'> => {
  const { stand: known, progressAt } = before
  if (stand.at.progress === known.at.progress) return { stand, progressAt }
  if (stand.over || now - progressAt >= LOOK) return { stand, progressAt: now }
  const at = { ...stand.at, progress: known.at.progress }
  return { stand: { ...stand, at, progress: known.progress }, progressAt }
}

const look = async (parts: FollowParts, feed: Feed): Promise<void> => {
  const now = parts.clock.monotonic()
  const stand = await feed.source.stand(feed.id)
  const before = feed.seen
  if (stand === null) feed.isGone = true
  else if (before === null) feed.seen = { stand, window: emptyWindow(stand.at), progressAt: now }
  else
    feed.seen = {
      ...thin(before, stand, now),
      window: await catchUp(feed, before.window, stand),
    }
  if (feed.isGone || isNews(before, feed.seen)) for (const watcher of feed.watchers) watcher.ring()
}

/** Runs as long as anybody watches. */
const tend = async (parts: FollowParts, feed: Feed): Promise<void> => {
  const stop = feed.ended.signal
  while (!stop.aborted) {
    try {
      await look(parts, feed)
    } catch (error) {
      parts.log.warn({ id: feed.id, problem: problemOf(error) }, 'cannot look at what is followed')
    }
    await parts.clock.sleep(GATHER, stop).catch(() => undefined)
    await feed.bell.heard(LOOK - GATHER, stop)
  }
}

type Next = { readonly events: readonly FollowEvent[]; readonly isEnd: boolean }

/** What a watcher at `at` is to be told now. */
const nextOf = async (feed: Feed, at: Position): Promise<Next> => {
  const { seen } = feed
  if (seen === null) return { events: [], isEnd: feed.isGone }
  const { stand, window } = seen
  const stored = since(window, at) ?? (await read(feed, at))
  const reached = advance({ ...at, progress: stand.at.progress }, stored)
  const isAll = stored.length === 0 || !isBehind(reached, stand)
  return {
    events: eventsFrom(at, stand, stored),
    isEnd: feed.isGone || (stand.over && isAll),
  }
}

async function* watch(
  parts: FollowParts,
  feed: Feed,
  wish: Follow,
  stop: AbortSignal,
): AsyncGenerator<readonly FollowEvent[], void, undefined> {
  const { clock } = parts
  const bell = createBell(clock)
  feed.watchers.add(bell)
  try {
    let at = wish.after
    let checkedAt = clock.monotonic()
    while (!stop.aborted) {
      const { events, isEnd } = await nextOf(feed, at)
      at = events.at(-1)?.position ?? at
      if (events.length > 0) yield events
      if (isEnd) return
      if (clock.monotonic() - checkedAt >= RECHECK) {
        if (!(await wish.allowed())) return
        checkedAt = clock.monotonic()
      }
      if (events.length === 0 && (await bell.heard(BEAT, stop)) === 'quiet') yield []
    }
  } finally {
    feed.watchers.delete(bell)
  }
}

/** Streams open now, by owner. */
const createPlaces = (): ((owner: string, stop: AbortSignal) => void) => {
  const taken = new Map<string, number>()
  const give = (owner: string): void => {
    const left = (taken.get(owner) ?? 1) - 1
    if (left > 0) taken.set(owner, left)
    else taken.delete(owner)
  }
  return (owner, stop) => {
    const before = taken.get(owner) ?? 0
    if (before >= MOST_STREAMS)
      throw fail('LIMIT_EXCEEDED', { limit: MOST_STREAMS, what: 'open streams of one token' })
    if (stop.aborted) return
    taken.set(owner, before + 1)
    stop.addEventListener('abort', () => give(owner), { once: true })
  }
}

export const createFollowing = async (parts: FollowParts): Promise<Following> => {
  const feeds = new Map<string, Feed>()
  const tending = new Set<Promise<void>>()
  const takePlace = createPlaces()
  const closing = new AbortController()
  const listening = await parts.news.listen((id) => feeds.get(id)?.bell.ring())

  const feedOf = (source: Followable, id: string): Feed => {
    const known = feeds.get(id)
    if (known !== undefined) return known
    const feed: Feed = {
      id,
      source,
      bell: createBell(parts.clock),
      watchers: new Set(),
      ended: new AbortController(),
      seen: null,
      isGone: false,
    }
    feeds.set(id, feed)
    const tended = tend(parts, feed).finally(() => tending.delete(tended))
    tending.add(tended)
    return feed
  }

  const letGo = (feed: Feed): void => {
    if (feed.watchers.size > 0) return
    feeds.delete(feed.id)
    feed.ended.abort()
  }

  async function* stream(
    source: Followable,
    wish: Follow,
    stop: AbortSignal,
  ): AsyncGenerator<readonly FollowEvent[], void, undefined> {
    if (stop.aborted) return
    const feed = feedOf(source, wish.id)
    try {
      yield* watch(parts, feed, wish, stop)
    } finally {
      letGo(feed)
    }
  }

  return {
    follow: (source, wish, stop) => {
      takePlace(wish.owner, stop)
      return stream(source, wish, AbortSignal.any([stop, closing.signal]))
    },
    isDone: async (source, id, after) => {
      const stand = await source.stand(id)
      return stand === null || (stand.over && !isBehind(after, stand))
    },
    close: async () => {
      if (closing.signal.aborted) return
      closing.abort()
      for (const feed of feeds.values()) feed.ended.abort()
      await Promise.all(tending)
      await listening[Symbol.asyncDispose]()
    },
  }
}
