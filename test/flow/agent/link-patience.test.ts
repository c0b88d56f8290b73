import { afterEach, describe, expect, test } from 'vitest'
import { fail } from '#shared/errors.ts'
import type { Report } from '#shared/protocol/reports.ts'
import { PATIENCE, patienceOf } from '#agent/core/patience.ts'
import { runLink } from '#agent/entry/run-link.ts'
import { anId } from '../../support/agent-control-plane.ts'
import { type FakePlane, fakePlane, leases } from '../../support/agent-fake-plane.ts'
import {
  HASTY,
  linked,
  type Linked,
  type LinkedOptions,
  type OneRun,
  workerOn,
} from '../../support/agent-linked.ts'
import { eventually } from '../../support/wait.ts'

let stops: Linked[] = []
afterEach(async () => {
  for (const { stop, ended } of stops) {
    stop()
    await ended.catch(() => undefined)
  }
  stops = []
})

const NEVER = new AbortController().signal
const RUN = anId()

type Answer = ReturnType<FakePlane['on']>[number]

/** Every request of the run meets the next of these, and what is asked for when there are none left. */
const answering = (plane: FakePlane, problems: { code: string; details?: object }[]): void => {
  plane.on = (report): readonly Answer[] => {
    if (report.type === 'heartbeat') return [leases(report)]
    if (report.type !== 'numbers.request') return []
    const problem = problems.shift()
    if (problem !== undefined)
      return [{ type: 'failed', re: report.id, problem: { message: 'x', ...problem } } as Answer]
    return [
      { type: 'numbers.given', re: report.id, run: report.run, first: 7, count: report.count },
    ]
  }
}

const asking = (
  plane: FakePlane,
  options: LinkedOptions = {},
): { asked: ReturnType<typeof runLink>; worker: OneRun } => {
  const worker = workerOn(RUN)
  const running = linked(plane, worker, options)
  stops.push(running)
  return { asked: runLink(running.link, RUN, () => worker.epoch), worker }
}

const of = <T extends Report['type']>(plane: FakePlane, type: T): Extract<Report, { type: T }>[] =>
  plane.reports.filter((report): report is Extract<Report, { type: T }> => report.type === type)

const away = (times: number): { code: string; details?: object }[] =>
  Array.from({ length: times }, (_, i) =>
    i % 2 === 0
      ? { code: 'DATABASE_UNAVAILABLE', details: { problem: 'starting' } }
      : { code: 'STORAGE_UNAVAILABLE', details: { storage: 's', verb: 'head', problem: '503' } },
  )

describe('a request that meets something that is away', () => {
  test('is asked again until it is back, and the log of the run says so now and then', async () => {
    const plane = fakePlane()
    answering(plane, away(12))
    const { asked } = asking(plane)
    const answer = await asked.request('numbers.request', { count: 1 }, NEVER)
    expect(answer).toMatchObject({ first: 7 })
    const requests = of(plane, 'numbers.request')
    expect(requests.length).toBe(13)
    expect(new Set(requests.map(({ id }) => id)).size).toBe(1)
    const lines = of(plane, 'log').map(({ message }) => message)
    expect(lines.length).toBe(2)
    expect(lines[0]).toContain('The database cannot be reached: starting.')
  })

  test('fails with what is away when the patience is over', async () => {
    const plane = fakePlane()
    answering(plane, away(100_000))
    const { asked } = asking(plane, { patience: patienceOf(200) })
    const request = asked.request('numbers.request', { count: 1 }, NEVER)
    await expect(request).rejects.toMatchObject({ code: /_UNAVAILABLE$/ })
    expect(of(plane, 'numbers.request').length).toBeGreaterThan(1)
  })

  test('fails sooner with a refusal of the store, and at once with what cannot pass', async () => {
    const plane = fakePlane()
    const forbidden = {
      code: 'STORAGE_UNAVAILABLE',
      details: { storage: 's', verb: 'put', problem: '403 Forbidden', status: 403 },
    }
    answering(
      plane,
      Array.from({ length: 1000 }, () => forbidden),
    )
    const { asked } = asking(plane, { patience: { ...PATIENCE, refused: 100 } })
    await expect(asked.request('numbers.request', { count: 1 }, NEVER)).rejects.toMatchObject({
      details: { problem: '403 Forbidden' },
    })
    answering(plane, [{ code: 'GRANT_REFUSED' }])
    const before = of(plane, 'numbers.request').length
    await expect(asked.request('numbers.request', { count: 1 }, NEVER)).rejects.toMatchObject({
      code: 'GRANT_REFUSED',
    })
    expect(of(plane, 'numbers.request').length).toBe(before + 1)
  })

  test('ends at once when it is no longer wanted', async () => {
    const plane = fakePlane()
    answering(plane, away(100_000))
    const { asked } = asking(plane)
    const stop = new AbortController()
    const request = asked.request('numbers.request', { count: 1 }, stop.signal)
    await eventually('some tries', () => of(plane, 'numbers.request').length > 3)
    stop.abort(fail('CANCELED'))
    await expect(request).rejects.toMatchObject({ code: 'CANCELED' })
    const count = of(plane, 'numbers.request').length
    await eventually('another heartbeat', () => of(plane, 'heartbeat').length > 1)
    expect(of(plane, 'numbers.request').length).toBe(count)
  })
})

describe('an answer that is lost on a connection that lives', () => {
  test('is asked for again', async () => {
    const plane = fakePlane()
    plane.welcome = { heartbeat_seconds: 20 }
    answering(plane, [])
    const { on } = plane
    let lost = 0
    plane.on = (report): readonly Answer[] => {
      if (report.type !== 'numbers.request' || lost === 2) return on(report)
      lost += 1
      return []
    }
    const { asked } = asking(plane, { world: HASTY })
    const answer = await asked.request('numbers.request', { count: 1 }, NEVER)
    expect(answer).toMatchObject({ first: 7 })
    expect(of(plane, 'numbers.request').length).toBe(3)
    expect(plane.connections).toBe(1)
  })
})

describe('connections that break', () => {
  test('at once are tried again ever more slowly', async () => {
    const plane = fakePlane()
    const spans: number[] = []
    const world = {
      ...HASTY,
      clock: {
        ...HASTY.clock,
        sleep: async (span: number, stop: AbortSignal) => {
          // The session's own tick is a second.
          if (span !== 1000) spans.push(span)
          await HASTY.clock.sleep(Math.min(span, 1000), stop)
        },
      },
      random: (length: number) => new Uint8Array(length).fill(255),
    }
    plane.on = () => {
      plane.cut()
      return []
    }
    asking(plane, { world })
    await eventually('many tries', () => spans.length >= 10)
    expect(spans.slice(0, 10).every((span, i) => i === 0 || span >= (spans[i - 1] ?? 0))).toBe(true)
    expect(spans[0]).toBeLessThanOrEqual(1000)
    expect(Math.max(...spans)).toBeLessThanOrEqual(60_000)
    expect(Math.max(...spans)).toBeGreaterThan(50_000)
  })
})
