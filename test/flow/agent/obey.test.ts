import { describe, expect, test } from 'vitest'
import { Failure, fail } from '#shared/errors.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import type { Brake } from '#agent/core/brake.ts'
import { eventLoopTurn, systemClock } from '#agent/io/world.ts'
import type { RunLink } from '#agent/ports.ts'
import { anId } from '../../support/agent-control-plane.ts'
import { backupOrder as order, idle, obeying } from '../../support/obeying.ts'

describe('orders', () => {
  test('are accepted at once and carried out one after the other', async () => {
    const steps: string[] = []
    const { obey, told } = obeying({
      backup: async ({ run }) => {
        steps.push(`begin ${run}`)
        await eventLoopTurn()
        steps.push(`end ${run}`)
      },
    })
    const [a, b] = [order(), order()]
    obey.order(a)
    obey.order(b)
    expect(told.map(({ type }) => type)).toEqual(['backup.accepted', 'backup.accepted'])
    expect(obey.runs()).toEqual([
      { run: a.run, epoch: 1 },
      { run: b.run, epoch: 1 },
    ])
    await idle(obey)
    expect(steps).toEqual([`begin ${a.run}`, `end ${a.run}`, `begin ${b.run}`, `end ${b.run}`])
    expect(told.length).toBe(2)
  })

  test('that are repeated are accepted again under the new epoch, and done once', async () => {
    let begun = 0
    const { obey, told } = obeying({
      backup: async () => {
        begun += 1
        await eventLoopTurn()
      },
    })
    const start = order()
    obey.order(start)
    obey.order({ ...start, epoch: 5 })
    expect(obey.runs()).toEqual([{ run: start.run, epoch: 5 }])
    expect(told.map(({ type }) => type)).toEqual(['backup.accepted', 'backup.accepted'])
    await idle(obey)
    expect(begun).toBe(1)
  })

  test.each([
    ['other readers', 'x'],
    ['readers that nobody confirmed', null],
  ])('to seal to %s are refused', async (_, pinned) => {
    const { obey, told } = obeying({
      backup: async () => Promise.reject(new Error('not run')),
      pinned: () => pinned,
    })
    obey.order(order())
    expect(told).toMatchObject([
      { type: 'backup.refused', body: { problem: { code: 'RECIPIENTS_NOT_PINNED' } } },
    ])
    await idle(obey)
  })

  test('that the local policy does not allow are refused with its words, and not begun', async () => {
    const barred = fail('POLICY_REFUSED', { path: '/etc', list: 'sources', policy: '/p.json' })
    const { obey, told } = obeying({
      backup: async () => Promise.reject(new Error('not run')),
      beyond: () => barred,
    })
    obey.order(order())
    const { code, message, details } = barred
    expect(told.map(({ type }) => type)).toEqual(['backup.refused'])
    expect(told[0]?.body).toEqual({ problem: { code, message, details } })
    await idle(obey)
  })

  test('are held against the policy again when their turn has come', async () => {
    const begun: string[] = []
    const barred = fail('POLICY_REFUSED', { path: '/etc', list: 'sources', policy: '/p.json' })
    const first = order()
    const { obey, told } = obeying({
      backup: async ({ run }) => {
        begun.push(run)
        await eventLoopTurn()
      },
      // The policy is narrowed while the second one waits for the first.
      beyond: ({ run }) => (begun.length > 0 && run !== first.run ? barred : null),
    })
    obey.order(first)
    obey.order(order())
    await idle(obey)
    expect(begun).toEqual([first.run])
    expect(told.at(-1)).toMatchObject({
      type: 'backup.ended',
      body: { status: 'failed', problem: { code: 'POLICY_REFUSED' } },
    })
  })

  const untilStopped = async (_: BackupStart, __: RunLink, stop: AbortSignal): Promise<void> => {
    await systemClock.sleep(60_000, stop)
  }

  test('to cancel end the run as canceled', async () => {
    const { obey, told } = obeying({ backup: untilStopped })
    const start = order()
    obey.order(start)
    await eventLoopTurn()
    obey.order({ type: 'backup.cancel', id: anId(), run: start.run, epoch: 1 })
    await idle(obey)
    expect(told.at(-1)).toMatchObject({ type: 'backup.ended', body: { status: 'canceled' } })
  })

  test('to pause hold the run until it is resumed, and the leases say the same', async () => {
    let brake: Brake | null = null
    const { obey } = obeying({
      backup: async (_, __, stop, given) => {
        brake = given
        await systemClock.sleep(60_000, stop)
      },
    })
    const start = order()
    obey.order(start)
    await eventLoopTurn()
    const isOn = (): boolean | undefined => brake?.on.aborted
    const beaten = (paused: { paused?: boolean }): void => {
      const renewed = [{ run: start.run, epoch: 1, lease_seconds: 45, ...paused }]
      obey.leases({ type: 'leases', id: anId(), renewed, lost: [] })
    }
    expect(isOn()).toBe(false)
    obey.order({ type: 'backup.pause', id: anId(), run: start.run, epoch: 1 })
    expect(isOn()).toBe(true)
    obey.order({ type: 'backup.resume', id: anId(), run: start.run, epoch: 1 })
    expect(isOn()).toBe(false)
    beaten({ paused: true })
    expect(isOn()).toBe(true)
    beaten({})
    expect(isOn()).toBe(false)
    await obey.stop()
  })

  test('that are paused when the agent stops are not ended: they outlive it', async () => {
    const { obey, told } = obeying({ backup: untilStopped })
    const start = order()
    obey.order(start)
    await eventLoopTurn()
    obey.order({ type: 'backup.pause', id: anId(), run: start.run, epoch: 1 })
    await obey.stop()
    expect(told.map(({ type }) => type)).toEqual(['backup.accepted'])
    expect(obey.runs()).toEqual([])
  })

  test('whose lease is lost stop without a word', async () => {
    const { obey, told } = obeying({ backup: untilStopped })
    const start = order()
    obey.order(start)
    await eventLoopTurn()
    obey.leases({ type: 'leases', id: anId(), renewed: [], lost: [start.run] })
    await idle(obey)
    expect(told.map(({ type }) => type)).toEqual(['backup.accepted'])
  })

  test('that fail say why, in the words of the catalogue', async () => {
    const failing = [fail('UPLOAD_FAILED', { key: 'k', problem: 'p' }), new Error('a mistake')]
    const { obey, told } = obeying({
      backup: async () => Promise.reject(failing.shift() ?? new Failure('INTERNAL')),
    })
    obey.order(order())
    obey.order(order())
    await idle(obey)
    const ended = told.filter(({ type }) => type === 'backup.ended')
    expect(ended).toMatchObject([
      { body: { status: 'failed', problem: { code: 'UPLOAD_FAILED' } } },
      { body: { status: 'failed', problem: { code: 'INTERNAL_AGENT' } } },
    ])
  })

  test('that come while the agent stops are refused, and those under way end first', async () => {
    const { obey, told } = obeying({ backup: untilStopped })
    obey.order(order())
    await eventLoopTurn()
    const stopped = obey.stop()
    obey.order(order())
    await stopped
    expect(told.map(({ type }) => type)).toEqual([
      'backup.accepted',
      'backup.refused',
      'backup.ended',
    ])
    expect(told.at(-1)?.body).toMatchObject({ problem: { code: 'AGENT_STOPPED' } })
  })
})
