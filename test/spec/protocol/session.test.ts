import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeId } from '#shared/ids.ts'
import { encode } from '#shared/protocol/codec.ts'
import type { Challenge, Connect, Welcome } from '#shared/protocol/hello.ts'
import {
  type AgentEvent,
  type AgentState,
  type ControlPlaneEvent,
  type ControlPlaneState,
  GREETING_LIMIT,
  openAgent,
  openControlPlane,
  stepAgent,
  stepControlPlane,
} from '#shared/protocol/session.ts'
import { PROTOCOL } from '#shared/protocol/version.ts'
import { FACTS } from '../../support/facts.ts'

const id = (n: number): string => makeId(1, new Uint8Array(10).fill(n))
const filled = (bytes: number): string => Buffer.alloc(bytes, 7).toString('base64url')
const challenge: Challenge = {
  type: 'challenge',
  id: id(1),
  protocol: PROTOCOL,
  challenge: filled(32),
  time: 5,
}
const connect = (protocol = PROTOCOL as { current: number; oldest: number }): Connect => ({
  type: 'connect',
  id: id(2),
  protocol,
  server: id(3),
  joins: 1,
  facts: FACTS,
  signature: filled(64),
})
const welcome: Welcome = {
  type: 'welcome',
  id: id(4),
  version: 1,
  server: id(3),
  catalog_epoch: 1,
  heartbeat_seconds: 10,
  joins: 1,
}
const refused = { type: 'refused' as const, id: id(5), problem: { code: 'X', message: 'no' } }
const log = {
  type: 'log' as const,
  id: id(6),
  run: id(7),
  epoch: 1,
  level: 'info' as const,
  message: 'hello',
}
const cancel = { type: 'backup.cancel' as const, id: id(6), run: id(7), epoch: 1 }
const frame = (message: Parameters<typeof encode>[0]): { kind: 'frame'; frame: string } => ({
  kind: 'frame',
  frame: encode(message),
})

const plane = (
  events: readonly ControlPlaneEvent[],
  now = 0,
): readonly [ControlPlaneState, string[]] => {
  let [state] = openControlPlane(challenge, 0)
  const kinds: string[] = []
  for (const event of events) {
    const [next, effects] = stepControlPlane(state, event, now)
    state = next
    kinds.push(...effects.map((effect) => effect.kind))
  }
  return [state, kinds]
}
const agent = (events: readonly AgentEvent[], now = 0): readonly [AgentState, string[]] => {
  let state = openAgent(PROTOCOL, 0)
  const kinds: string[] = []
  for (const event of events) {
    const [next, effects] = stepAgent(state, event, now)
    state = next
    kinds.push(...effects.map((effect) => effect.kind))
  }
  return [state, kinds]
}

const agentOpens: AgentEvent[] = [
  frame(challenge),
  { kind: 'introduce', message: connect() },
  frame(welcome),
]
const planeOpens: ControlPlaneEvent[] = [frame(connect()), { kind: 'accepted', welcome }]

describe('the control plane', () => {
  test('opens after challenge, introduction and welcome, and then delivers reports', () => {
    expect(plane([...planeOpens, frame(log)])).toEqual([
      { at: 'open', version: 1, beat: 10_000, heard: 0, beaten: 0 },
      ['introduced', 'send', 'deliver'],
    ])
  })

  test('says why before it closes on an introduction that it cannot read', () => {
    const [state, kinds] = plane([{ kind: 'frame', frame: '{"type":"connect"}' }])
    expect(state).toEqual({ at: 'closed', because: 'violation' })
    expect(kinds).toEqual(['refuse', 'close'])
  })

  test('says why before it closes on a version that it does not speak', () => {
    const [state, kinds] = plane([frame(connect({ current: 9, oldest: 8 }))])
    expect(state).toEqual({ at: 'closed', because: 'version' })
    expect(kinds).toEqual(['refuse', 'close'])
  })

  test('closes on a second introduction while it decides', () => {
    expect(plane([frame(connect()), frame(connect())])[0]).toEqual({
      at: 'closed',
      because: 'out-of-turn',
    })
  })

  test('closes on an introduction after the welcome', () => {
    expect(plane([...planeOpens, frame(connect())])[0]).toEqual({
      at: 'closed',
      because: 'violation',
    })
  })

  test('sends nothing before the welcome', () => {
    expect(plane([{ kind: 'send', message: cancel }])[1]).toEqual([])
  })

  test('sends the refusal and closes when it does not let the agent in', () => {
    const [state, kinds] = plane([frame(connect()), { kind: 'rejected', refused }])
    expect(state).toEqual({ at: 'closed', because: 'refused' })
    expect(kinds).toEqual(['introduced', 'send', 'close'])
  })

  test.each([[[]], [[frame(connect())]]] as ControlPlaneEvent[][][])(
    'closes a greeting at its deadline and not before',
    (events) => {
      const [state] = plane(events)
      expect(stepControlPlane(state, { kind: 'tick' }, GREETING_LIMIT - 1)[0]).toBe(state)
      expect(stepControlPlane(state, { kind: 'tick' }, GREETING_LIMIT)[0]).toEqual({
        at: 'closed',
        because: 'silent',
      })
    },
  )

  test('closes an open session after three silent heartbeats and not before', () => {
    const [state] = plane(planeOpens)
    expect(stepControlPlane(state, { kind: 'tick' }, 29_999)[0]).toBe(state)
    expect(stepControlPlane(state, { kind: 'tick' }, 30_000)[0]).toEqual({
      at: 'closed',
      because: 'silent',
    })
    const [heard] = stepControlPlane(state, frame(log), 20_000)
    expect(stepControlPlane(heard, { kind: 'tick' }, 49_999)[0]).toBe(heard)
  })

  test('cuts a close reason to what a close frame may hold', () => {
    const [state] = plane(planeOpens)
    const [, effects] = stepControlPlane(
      state,
      { kind: 'leave', because: 'stopped', reason: 'é'.repeat(200) },
      0,
    )
    const [effect] = effects
    expect(effect?.kind === 'close' && Buffer.byteLength(effect.reason)).toBeLessThanOrEqual(123)
  })
})

describe('the agent', () => {
  test('proves itself, opens, presents its runs at once, and then delivers orders', () => {
    expect(agent([...agentOpens, frame(cancel)])).toEqual([
      { at: 'open', version: 1, beat: 10_000, heard: 0, beaten: 0 },
      ['challenged', 'send', 'opened', 'beat', 'deliver'],
    ])
  })

  test('closes on a welcome that answers nothing', () => {
    expect(agent([frame(challenge), frame(welcome)])[0]).toEqual({
      at: 'closed',
      because: 'out-of-turn',
    })
  })

  test('closes on a version that it did not offer', () => {
    const unasked: Welcome = { ...welcome, version: 2 }
    const events = [...agentOpens.slice(0, 2), frame(unasked)]
    expect(agent(events)[0]).toEqual({ at: 'closed', because: 'version' })
  })

  test('closes on a challenge of versions that it does not speak', () => {
    expect(
      agent([frame({ ...challenge, protocol: { current: 5, oldest: 4 } } as Challenge)])[0],
    ).toEqual({ at: 'closed', because: 'version' })
  })

  test('hands over why it was turned away', () => {
    expect(
      agent([frame(challenge), { kind: 'introduce', message: connect() }, frame(refused)]),
    ).toEqual([
      { at: 'closed', because: 'refused' },
      ['challenged', 'send', 'turned-away', 'close'],
    ])
  })

  test('beats once per heartbeat, and gives up after three without an answer', () => {
    const [open] = agent(agentOpens)
    const [early, none] = stepAgent(open, { kind: 'tick' }, 9999)
    expect([early, none]).toEqual([open, []])
    const [beaten, beat] = stepAgent(open, { kind: 'tick' }, 10_000)
    expect(beat).toEqual([{ kind: 'beat' }])
    expect(stepAgent(beaten, { kind: 'tick' }, 10_001)[1]).toEqual([])
    expect(stepAgent(beaten, { kind: 'tick' }, 30_000)[0]).toEqual({
      at: 'closed',
      because: 'silent',
    })
  })
})

const anyPlaneEvent: fc.Arbitrary<ControlPlaneEvent> = fc.oneof(
  fc.constantFrom<ControlPlaneEvent[]>(
    { kind: 'tick' },
    { kind: 'lost' },
    frame(connect()),
    frame(log),
    frame(cancel),
    { kind: 'accepted', welcome },
    { kind: 'rejected', refused },
    { kind: 'send', message: cancel },
    { kind: 'leave', because: 'superseded', reason: 'x' },
  ),
  fc.record({ kind: fc.constant('frame' as const), frame: fc.oneof(fc.string(), fc.json()) }),
)
const anyAgentEvent: fc.Arbitrary<AgentEvent> = fc.oneof(
  fc.constantFrom<AgentEvent[]>(
    { kind: 'tick' },
    { kind: 'lost' },
    frame(challenge),
    frame(welcome),
    frame(refused),
    frame(cancel),
    frame(log),
    { kind: 'introduce', message: connect() },
    { kind: 'send', message: log },
  ),
  fc.record({ kind: fc.constant('frame' as const), frame: fc.oneof(fc.string(), fc.json()) }),
)

describe('whatever comes', () => {
  test('nothing is delivered before the greeting or after the end, and silence always closes, at the control plane', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(anyPlaneEvent, fc.nat(40_000)), { maxLength: 30 }),
        (events) => {
          let [state] = openControlPlane(challenge, 0)
          let now = 0
          for (const [event, pause] of events) {
            now += pause
            const before = state
            const [next, effects] = stepControlPlane(state, event, now)
            if (before.at !== 'open') expect(effects.some((e) => e.kind === 'deliver')).toBe(false)
            if (before.at === 'closed') expect([next, effects]).toEqual([before, []])
            state = next
          }
          expect(stepControlPlane(state, { kind: 'tick' }, now + 40_000)[0].at).toBe('closed')
        },
      ),
    )
  })

  test('nothing is delivered before the greeting or after the end, and silence always closes, at the agent', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(anyAgentEvent, fc.nat(40_000)), { maxLength: 30 }),
        (events) => {
          let state = openAgent(PROTOCOL, 0)
          let now = 0
          for (const [event, pause] of events) {
            now += pause
            const before = state
            const [next, effects] = stepAgent(state, event, now)
            if (before.at !== 'open') expect(effects.some((e) => e.kind === 'deliver')).toBe(false)
            if (before.at === 'closed') expect([next, effects]).toEqual([before, []])
            state = next
          }
          expect(stepAgent(state, { kind: 'tick' }, now + 40_000)[0].at).toBe('closed')
        },
      ),
    )
  })
})
