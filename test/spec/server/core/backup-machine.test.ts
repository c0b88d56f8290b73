import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { holds, isFinal, type Run, type RunEvent, step } from '#server/core/backup-machine.ts'

const lease = (link: number, until = 100): { link: number; until: number } => ({ link, until })
const problem = { code: 'CANCELED', message: 'x' }
const PENDING: Run = { at: 'pending', epoch: 0, paused: null }
const start = (): Run => PENDING
const dispatched = (link: number): RunEvent => ({
  kind: 'dispatched',
  lease: lease(link),
  deadline: 1000,
})
const after = (...events: readonly RunEvent[]): Run =>
  events.reduce<Run>((run, event) => step(run, event)[0], PENDING)
const running = after(dispatched(1), { kind: 'accepted', epoch: 1 })

describe('a run', () => {
  test('is offered under epoch 1 and completes under it', () => {
    expect(after(dispatched(1))).toEqual({
      at: 'running',
      epoch: 1,
      lease: lease(1),
      accepted: false,
      cancelAsked: false,
      paused: null,
      deadline: 1000,
    })
    expect(step(running, { kind: 'finished', epoch: 1, status: 'completed' })).toEqual([
      { at: 'completed', epoch: 1 },
      'changed',
    ])
    expect(step(running, { kind: 'finished', epoch: 1, status: 'partial' })[0].at).toBe('partial')
  })

  test('is detached, not failed, when its lease runs out, and the deadline fails it', () => {
    expect(step(running, { kind: 'tick', now: 99 })).toEqual([running, 'same'])
    const [detached] = step(running, { kind: 'tick', now: 100 })
    expect(detached).toMatchObject({ at: 'running', lease: null, epoch: 1 })
    expect(step(detached, { kind: 'tick', now: 999 })).toEqual([detached, 'same'])
    expect(step(detached, { kind: 'tick', now: 1000 })[0]).toMatchObject({ at: 'failed' })
  })

  test('keeps its epoch while one connection renews it, and gets a new one from the next connection', () => {
    const renewed = step(running, { kind: 'presented', lease: lease(1, 200) })[0]
    expect(renewed).toMatchObject({ epoch: 1, lease: lease(1, 200) })
    const moved = step(renewed, { kind: 'presented', lease: lease(2, 300) })[0]
    expect(moved).toMatchObject({ epoch: 2, lease: lease(2, 300) })
    expect(step(moved, { kind: 'presented', lease: lease(1, 400) })).toEqual([moved, 'lost'])
    expect(step(moved, { kind: 'finished', epoch: 1, status: 'completed' })).toEqual([
      moved,
      'lost',
    ])
  })

  test('gets a new epoch when it is presented after it was detached, even on the same connection', () => {
    const [detached] = step(running, { kind: 'tick', now: 100 })
    expect(step(detached, { kind: 'presented', lease: lease(1, 300) })[0]).toMatchObject({
      epoch: 2,
      lease: lease(1, 300),
    })
  })

  test('is offered again when the offer never arrived, and fails when an accepted one is gone', () => {
    const unheard = after(dispatched(1))
    expect(step(unheard, dispatched(1))).toEqual([unheard, 'not-now'])
    expect(step(unheard, dispatched(2))[0]).toMatchObject({ at: 'running', epoch: 2 })
    const [unmade, verdict] = step(unheard, { kind: 'absent', link: 1 })
    expect([unmade, verdict]).toEqual([{ ...unheard, lease: null }, 'changed'])
    expect(step(unmade, { kind: 'absent', link: 1 })).toEqual([unmade, 'same'])
    expect(step(unmade, dispatched(1))[0]).toMatchObject({ at: 'running', epoch: 2 })
    expect(step(running, dispatched(2))).toEqual([running, 'not-now'])
    expect(step(running, { kind: 'absent', link: 2 })[0]).toMatchObject({
      at: 'failed',
      problem: { code: 'RUN_LOST' },
    })
  })

  test('fails where the key that it waits for never comes, and only while it waits', () => {
    const unopened: RunEvent = { kind: 'unopened', problem }
    expect(step(PENDING, unopened)).toEqual([{ at: 'failed', epoch: 0, problem }, 'changed'])
    expect(step(running, unopened)).toEqual([running, 'not-now'])
  })

  test('is canceled at once while it waits, and by the agent while it runs', () => {
    expect(step(PENDING, { kind: 'cancel', problem, now: 0 })[0].at).toBe('canceled')
    const [asked] = step(running, { kind: 'cancel', problem, now: 0 })
    expect(asked).toMatchObject({ at: 'running', cancelAsked: true })
    expect(step(asked, { kind: 'absent', link: 1 })[0].at).toBe('canceled')
    expect(step(asked, { kind: 'ended', epoch: 1, status: 'canceled', problem })[0].at).toBe(
      'canceled',
    )
  })
})

const PAUSE: RunEvent = { kind: 'pause', now: 50, until: 5000 }
const RESUME: RunEvent = { kind: 'resume', now: 4000 }

describe('a paused run', () => {
  const [paused] = step(running, PAUSE)

  test('keeps lease and epoch, and gets back what was left of its time', () => {
    expect(paused).toEqual({ ...running, paused: { since: 50, left: 950 }, deadline: 5000 })
    expect(step(paused, PAUSE)).toEqual([paused, 'same'])
    expect(step(paused, { kind: 'tick', now: 99 })).toEqual([paused, 'same'])
    expect(step(paused, RESUME)).toEqual([{ ...running, deadline: 4950 }, 'changed'])
    expect(step(running, RESUME)).toEqual([running, 'same'])
  })

  test('is not failed by its deadline, but by the end of the pause', () => {
    expect(step(paused, { kind: 'tick', now: 1001 })[0]).toMatchObject({ at: 'running' })
    expect(step(paused, { kind: 'tick', now: 5000 })[0]).toMatchObject({
      at: 'failed',
      problem: { code: 'PAUSED_TOO_LONG' },
    })
  })

  test('outlives its agent, is offered to nobody, and to the next one when it is resumed', () => {
    const [left] = step(paused, { kind: 'absent', link: 1 })
    expect(left).toMatchObject({ at: 'running', lease: null, accepted: false, epoch: 1 })
    expect(step(left, { kind: 'absent', link: 2 })).toEqual([left, 'same'])
    expect(step(left, dispatched(2))).toEqual([left, 'not-now'])
    const [resumed] = step(left, RESUME)
    expect(step(resumed, dispatched(2))[0]).toMatchObject({
      at: 'running',
      epoch: 2,
      lease: lease(2),
      deadline: 4950,
    })
  })

  test('that waits is not offered until it is resumed', () => {
    const [waiting] = step(PENDING, PAUSE)
    expect(waiting).toEqual({ ...PENDING, paused: { since: 50, left: null } })
    expect(step(waiting, PAUSE)).toEqual([waiting, 'same'])
    expect(step(waiting, dispatched(1))).toEqual([waiting, 'not-now'])
    expect(step(waiting, RESUME)).toEqual([PENDING, 'changed'])
    expect(step(PENDING, RESUME)).toEqual([PENDING, 'same'])
  })

  test('can be canceled, which ends the pause; what is to be canceled cannot be paused', () => {
    const [asked] = step(paused, { kind: 'cancel', problem, now: 60 })
    expect(asked).toMatchObject({ at: 'running', cancelAsked: true, paused: null, deadline: 1010 })
    expect(step(asked, PAUSE)).toEqual([asked, 'not-now'])
    expect(step(step(PENDING, PAUSE)[0], { kind: 'cancel', problem, now: 60 })[0].at).toBe(
      'canceled',
    )
  })
})

const epoch = fc.integer({ min: 0, max: 5 })
const link = fc.integer({ min: 1, max: 5 })
const time = fc.integer({ min: 0, max: 1200 })
const anyLease = fc.record({ link, until: time })
const anyEvent: fc.Arbitrary<RunEvent> = fc.oneof(
  fc.record({
    kind: fc.constant('dispatched' as const),
    lease: anyLease,
    deadline: fc.constant(1000),
  }),
  fc.record({ kind: fc.constant('accepted' as const), epoch }),
  fc.record({ kind: fc.constant('refused' as const), epoch, problem: fc.constant(problem) }),
  fc.record({ kind: fc.constant('presented' as const), lease: anyLease }),
  fc.record({ kind: fc.constant('absent' as const), link }),
  fc.record({ kind: fc.constant('tick' as const), now: time }),
  fc.record({ kind: fc.constant('cancel' as const), problem: fc.constant(problem), now: time }),
  fc.record({ kind: fc.constant('pause' as const), now: time, until: fc.constant(2000) }),
  fc.record({ kind: fc.constant('resume' as const), now: time }),
  fc.record({
    kind: fc.constant('ended' as const),
    epoch,
    status: fc.constantFrom('failed' as const, 'canceled' as const),
    problem: fc.constant(problem),
  }),
  fc.record({
    kind: fc.constant('finished' as const),
    epoch,
    status: fc.constantFrom('completed' as const, 'partial' as const),
  }),
  fc.record({ kind: fc.constant('unopened' as const), problem: fc.constant(problem) }),
)

describe('whatever happens', () => {
  test('final states are final, epochs never fall, and no old epoch changes anything', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        let run = start()
        for (const event of events) {
          const [next, verdict] = step(run, event)
          if (isFinal(run)) expect(next).toBe(run)
          if (verdict !== 'changed') expect(next).toBe(run)
          expect(next.epoch).toBeGreaterThanOrEqual(run.epoch)
          if ('epoch' in event && !holds(run, event.epoch))
            expect([next, verdict]).toEqual([run, 'lost'])
          run = next
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('at most one connection holds a run: an older one never takes it from a newer', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        let run = start()
        for (const event of events) {
          const [next] = step(run, event)
          const before = run.at === 'running' ? run.lease : null
          const now = next.at === 'running' ? next.lease : null
          if (before !== null && now !== null) expect(now.link).toBeGreaterThanOrEqual(before.link)
          if (before !== null && now !== null && before.link !== now.link)
            expect(next.epoch).toBe(run.epoch + 1)
          run = next
        }
      }),
      { numRuns: 1000 },
    )
  })
})
