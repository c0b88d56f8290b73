import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FollowEvent, type Position, START } from '#server/core/follow.ts'
import { createFollowing, type Following } from '#server/flow/follow.ts'
import { MINUTE, SECOND } from '#shared/units.ts'
import { type FollowedThing, followedThing } from '../support/followed-thing.ts'
import { memoryLog } from '../support/log.ts'
import { type ManualClock, manualClock, settled } from '../support/manual-clock.ts'

let clock: ManualClock
let subject: FollowedThing
let following: Following
let tell: (id: string) => void
let stop: AbortController

beforeEach(async () => {
  clock = manualClock()
  subject = followedThing(clock)
  stop = new AbortController()
  const news = {
    listen: async (heard: (id: string) => void) => {
      tell = heard
      return Promise.resolve({ [Symbol.asyncDispose]: async () => Promise.resolve() })
    },
  }
  following = await createFollowing({ news, clock, log: memoryLog() })
})

afterEach(async () => {
  stop.abort()
  const closed = following.close()
  await clock.advance(MINUTE)
  await closed
})

type Watcher = {
  readonly events: FollowEvent[]
  beats: number
  ended: boolean
  readonly done: Promise<void>
}

type Wish = { after?: Position; owner?: string; allowed?: () => Promise<boolean> }

/** Reads all it can get, as fast as it comes. */
const watch = (wish: Wish = {}, signal = stop.signal): Watcher => {
  const batches = following.follow(
    subject.source,
    {
      id: 'subject',
      after: wish.after ?? START,
      owner: wish.owner ?? 'me',
      allowed: wish.allowed ?? (async () => Promise.resolve(true)),
    },
    signal,
  )
  const read = async (): Promise<void> => {
    for await (const batch of batches) {
      if (batch.length === 0) watcher.beats += 1
      watcher.events.push(...batch)
    }
    watcher.ended = true
  }
  const watcher: Watcher = { events: [], beats: 0, ended: false, done: Promise.resolve() }
  return Object.assign(watcher, { done: read() })
}

const kinds = (watcher: Watcher): string[] => watcher.events.map(({ kind }) => kind)

describe('a stream', () => {
  test('of what is over already gives all that is stored, and ends', async () => {
    subject.add('status')
    for (let n = 0; n < 700; n += 1) subject.add('log', String(n))
    subject.add('status', 'last')
    subject.move()
    subject.state.over = true
    const watcher = watch()
    await watcher.done
    expect(watcher.events).toHaveLength(703)
    expect(watcher.events[0]).toMatchObject({ kind: 'progress', data: 'progress 1' })
    expect(watcher.events.filter(({ kind }) => kind === 'log').map(({ data }) => data)).toEqual(
      Array.from({ length: 700 }, (_, n) => String(n)),
    )
    expect(watcher.events.at(-1)).toMatchObject({ kind: 'status', data: 'last' })
  })

  test('tells at once what the news announce', async () => {
    const watcher = watch()
    await clock.advance(500)
    subject.add('log')
    tell('somebody else')
    await settled()
    expect(kinds(watcher)).toEqual([])
    tell('subject')
    await settled()
    expect(kinds(watcher)).toEqual(['log'])
  })

  test('finds within a second what no news told', async () => {
    const watcher = watch()
    await clock.advance(500)
    subject.add('status')
    await clock.advance(SECOND)
    expect(kinds(watcher)).toEqual(['status'])
  })

  test('ends after the last event of what ends', async () => {
    const watcher = watch()
    await clock.advance(10)
    subject.add('log')
    subject.add('status')
    subject.state.over = true
    subject.move()
    await clock.advance(2 * SECOND)
    expect(kinds(watcher)).toEqual(['progress', 'log', 'status'])
    expect(watcher.ended).toBe(true)
  })

  test('goes on where the reader was, without loss or repetition, however often it is cut', async () => {
    const got: FollowEvent[] = []
    let after: Position = START
    for (let round = 0; round < 12; round += 1) {
      const cut = new AbortController()
      const watcher = watch({ after }, cut.signal)
      for (let n = 0; n <= round * 30; n += 1) subject.add(n % 7 === 0 ? 'status' : 'log')
      subject.move()
      if (round % 2 === 0) await clock.advance(SECOND + 200)
      else await settled()
      cut.abort()
      await watcher.done
      got.push(...watcher.events)
      after = watcher.events.at(-1)?.position ?? after
      subject.add('log')
    }
    subject.state.over = true
    const last = watch({ after })
    await last.done
    got.push(...last.events)
    for (const track of ['status', 'log'] as const) {
      const numbers = got
        .filter(({ kind }) => kind === track)
        .map(({ position }) => position[track])
      expect(numbers).toEqual(Array.from(numbers, (_, n) => n + 1))
      const { at } = (await subject.source.stand('subject'))!
      expect(numbers).toHaveLength(at[track])
    }
    const progress = got.filter(({ kind }) => kind === 'progress').map(({ data }) => data)
    expect(new Set(progress).size).toBe(progress.length)
  })

  test('tells progress at most once a second', async () => {
    const watcher = watch()
    await clock.advance(100)
    const began = clock.now()
    for (let n = 0; n < 100; n += 1) {
      subject.move()
      subject.add('log')
      tell('subject')
      await clock.advance(100)
    }
    const seconds = (clock.now() - began) / SECOND
    const count = kinds(watcher).filter((kind) => kind === 'progress').length
    expect(count).toBeGreaterThan(seconds / 2)
    expect(count).toBeLessThanOrEqual(seconds + 1)
    expect(kinds(watcher).filter((kind) => kind === 'log')).toHaveLength(100)
  })

  test('beats while nothing happens', async () => {
    const watcher = watch()
    await clock.advance(MINUTE)
    expect(watcher.beats).toBeGreaterThanOrEqual(3)
    expect(watcher.beats).toBeLessThanOrEqual(5)
    expect(watcher.events).toEqual([])
  })

  test('survives a database that is away', async () => {
    const watcher = watch()
    await clock.advance(10)
    await subject.breakFor(async () => clock.advance(10 * SECOND))
    subject.add('log')
    await clock.advance(2 * SECOND)
    expect(kinds(watcher)).toEqual(['log'])
  })

  test('ends when its reader may not read any more', async () => {
    let may = true
    const watcher = watch({ allowed: async () => Promise.resolve(may) })
    await clock.advance(3 * MINUTE)
    expect(watcher.ended).toBe(false)
    may = false
    await clock.advance(2 * MINUTE)
    expect(watcher.ended).toBe(true)
  })

  test('ends when what it follows is not there any more', async () => {
    const watcher = watch()
    await clock.advance(10)
    subject.state.gone = true
    await clock.advance(2 * SECOND)
    expect(watcher.ended).toBe(true)
  })

  test('ends at once when everything closes', async () => {
    const watchers = [watch(), watch()]
    await clock.advance(10)
    const closed = following.close()
    await Promise.all([closed, ...watchers.map(async ({ done }) => done)])
    const late = watch()
    await late.done
    expect(late.events).toEqual([])
  })
})

describe('many streams of one thing', () => {
  test('cost the store what one costs', async () => {
    const run = async (watchers: number): Promise<{ stands: number; reads: number }> => {
      clock = manualClock()
      subject = followedThing(clock)
      const news = {
        listen: async (heard: (id: string) => void) => {
          tell = heard
          return Promise.resolve({ [Symbol.asyncDispose]: async () => Promise.resolve() })
        },
      }
      following = await createFollowing({ news, clock, log: memoryLog() })
      const all = Array.from({ length: watchers }, () => watch())
      await clock.advance(10)
      for (let n = 0; n < 50; n += 1) {
        subject.add('log')
        tell('subject')
        await clock.advance(50)
      }
      await clock.advance(SECOND)
      for (const watcher of all) expect(watcher.events).toHaveLength(50)
      const { stands, reads } = subject.state
      stop.abort()
      await Promise.all(all.map(async ({ done }) => done))
      stop = new AbortController()
      await clock.advance(SECOND)
      return { stands, reads }
    }
    expect(await run(60)).toEqual(await run(1))
  })

  test('end the looking when the last of them leaves', async () => {
    const [first, second] = [new AbortController(), new AbortController()]
    const watchers = [watch({}, first.signal), watch({}, second.signal)]
    await clock.advance(5 * SECOND)
    first.abort()
    await watchers[0]!.done
    const before = subject.state.stands
    await clock.advance(5 * SECOND)
    expect(subject.state.stands).toBeGreaterThan(before)
    second.abort()
    await watchers[1]!.done
    const after = subject.state.stands
    await clock.advance(5 * SECOND)
    expect(subject.state.stands).toBe(after)
  })

  test('do not wait for one that does not read, which reads on from the store', async () => {
    const slow = following.follow(
      subject.source,
      { id: 'subject', after: START, owner: 'me', allowed: async () => Promise.resolve(true) },
      stop.signal,
    )
    subject.add('log')
    const quick = watch()
    const first = await slow.next()
    expect(first.value).toHaveLength(1)
    for (let n = 0; n < 2000; n += 1) subject.add('log')
    await clock.advance(2 * SECOND)
    expect(quick.events).toHaveLength(2001)
    const reads = subject.state.reads
    let got = 1
    while (got < 2001) {
      const next = await slow.next()
      if (next.done === true) break
      expect(next.value.length).toBeLessThanOrEqual(256)
      got += next.value.length
    }
    expect(got).toBe(2001)
    expect(subject.state.reads).toBeGreaterThan(reads)
  })

  test('are bounded for one owner, and a place is free again when its stream stops', async () => {
    const stops = Array.from({ length: 100 }, () => new AbortController())
    for (const { signal } of stops) watch({ owner: 'greedy' }, signal)
    expect(() => watch({ owner: 'greedy' })).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }) as Error,
    )
    watch({ owner: 'modest' })
    stops[7]!.abort()
    watch({ owner: 'greedy' })
    for (const one of stops) one.abort()
    await settled()
  })
})

describe('a reader that comes back', () => {
  test('is told whether there is anything left', async () => {
    subject.add('status')
    const all = { status: 1, log: 0, progress: 0 }
    expect(await following.isDone(subject.source, 'subject', all)).toBe(false)
    subject.state.over = true
    expect(await following.isDone(subject.source, 'subject', all)).toBe(true)
    expect(await following.isDone(subject.source, 'subject', START)).toBe(false)
    subject.state.gone = true
    expect(await following.isDone(subject.source, 'subject', START)).toBe(true)
  })
})
