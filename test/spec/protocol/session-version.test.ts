import { describe, expect, test } from 'vitest'
import { encode } from '#shared/protocol/codec.ts'
import type { Challenge, Connect } from '#shared/protocol/hello.ts'
import {
  type AgentEffect,
  type ControlPlaneEffect,
  openAgent,
  openControlPlane,
  stepAgent,
  stepControlPlane,
} from '#shared/protocol/session.ts'
import { agree, type VersionRange } from '#shared/protocol/version.ts'
import { FACTS } from '../../support/facts.ts'

const ID = '01890000-0000-7000-8000-000000000001'
const challenge = (protocol: VersionRange): Challenge => ({
  type: 'challenge',
  id: ID,
  protocol,
  challenge: Buffer.alloc(32).toString('base64url'),
  time: 0,
})
const hello = (protocol: VersionRange): Connect => ({
  type: 'connect',
  id: ID,
  protocol,
  server: ID,
  joins: 1,
  facts: FACTS,
  signature: Buffer.alloc(64).toString('base64url'),
})

const range = (oldest: number, current: number): VersionRange => ({ oldest, current })
const one = range(1, 1)
const two = range(2, 2)
const both = range(1, 2)
const late = range(3, 4)

/** What an agent makes of a control plane's greeting, and a control plane of an agent's. */
const atAgent = (agent: VersionRange, controlPlane: VersionRange): readonly AgentEffect[] =>
  stepAgent(openAgent(agent, 0), { kind: 'frame', frame: encode(challenge(controlPlane)) }, 1)[1]
const atControlPlane = (
  controlPlane: VersionRange,
  agent: VersionRange,
): readonly ControlPlaneEffect[] => {
  const [state] = openControlPlane(challenge(controlPlane), 0)
  return stepControlPlane(state, { kind: 'frame', frame: encode(hello(agent)) }, 1)[1]
}

describe('two ends that speak different versions', () => {
  test.each([
    [one, one, 1],
    [both, one, 1],
    [one, both, 1],
    [both, two, 2],
    [both, both, 2],
    [one, two, null],
    [two, one, null],
    [both, late, null],
  ])('%j and %j agree on %j, whichever is which', (a, b, version) => {
    expect(agree(a, b)).toBe(version)
    expect(agree(b, a)).toBe(version)
    const [first] = atControlPlane(a, b)
    expect(first?.kind).toBe(version === null ? 'refuse' : 'introduced')
    if (first?.kind === 'introduced') expect(first.version).toBe(version)
    expect(atAgent(a, b)[0]?.kind).toBe(version === null ? 'turned-away' : 'challenged')
  })

  test.each([
    ['older', one, late, '3 to 4', '1', 'agent'],
    ['newer', late, both, '1 to 2', '3 to 4', 'control plane'],
  ] as const)(
    'with an agent that is %s: both say who must be updated',
    (...[, agent, controlPlane, theirs, ours, older]) => {
      const message = `The control plane speaks protocol ${theirs}, the agent ${ours}: the ${older} is too old. Update it.`
      expect(atAgent(agent, controlPlane)).toMatchObject([
        { kind: 'turned-away', problem: { code: 'PROTOCOL_VERSION', message } },
        { kind: 'close', code: 4406 },
      ])
      expect(atControlPlane(controlPlane, agent)).toMatchObject([
        {
          kind: 'refuse',
          code: 'PROTOCOL_VERSION',
          details: { control_plane: theirs, agent: ours, older },
        },
        { kind: 'close', code: 4406 },
      ])
    },
  )
})
