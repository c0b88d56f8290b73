import { afterEach, describe, expect, test } from 'vitest'
import { fail } from '#shared/errors.ts'
import type { Report } from '#shared/protocol/reports.ts'
import { connectUrl } from '#agent/entry/connection.ts'
import { greet } from '#agent/entry/greet.ts'
import type { Worker } from '#agent/entry/link.ts'
import { restoreLink, runLink } from '#agent/entry/run-link.ts'
import { amountsOf, newRestoreTally } from '#agent/core/restore-tally.ts'
import { anId } from '../../support/agent-control-plane.ts'
import { type FakePlane, fakePlane, leases } from '../../support/agent-fake-plane.ts'
import { linked, type Linked, type OneRun, QUICK, workerOn } from '../../support/agent-linked.ts'
import { restoreOrder } from '../../support/obeying.ts'
import { eventually } from '../../support/wait.ts'
import { FACTS } from '../../support/facts.ts'

let stops: Linked[] = []
afterEach(async () => {
  for (const { stop, ended } of stops) {
    stop()
    await ended.catch(() => undefined)
  }
  stops = []
})

const run = (plane: FakePlane, worker: Worker): Linked => {
  const running = linked(plane, worker)
  stops.push(running)
  return running
}

const NEVER = new AbortController().signal
const RUN = anId()
const oneRun = (): OneRun => workerOn(RUN)
const numbers = (report: Report): number => (report.type === 'numbers.request' ? report.epoch : -1)

const answering = (plane: FakePlane): void => {
  plane.on = (report) => {
    if (report.type === 'heartbeat') return [leases(report)]
    if (report.type !== 'numbers.request') return []
    return [
      { type: 'numbers.given', re: report.id, run: report.run, first: 7, count: report.count },
    ]
  }
}

describe('a request', () => {
  test('is sent once the epochs are known, and answered', async () => {
    const plane = fakePlane()
    answering(plane)
    const worker = oneRun()
    const { link } = run(plane, worker)
    const asked = runLink(link, RUN, () => worker.epoch)
    const answer = await asked.request('numbers.request', { count: 3 }, NEVER)
    expect(answer).toMatchObject({ first: 7, count: 3 })
    expect(plane.reports[0]?.type).toBe('heartbeat')
    expect(plane.reports.map(numbers).filter((epoch) => epoch >= 0)).toEqual([2])
  })

  test('goes out again on the next connection, under the same id and the new epoch', async () => {
    const plane = fakePlane()
    const worker = oneRun()
    const { link } = run(plane, worker)
    const asked = runLink(link, RUN, () => worker.epoch)
    const answer = asked.request('numbers.request', { count: 3 }, NEVER)
    await eventually('the request', () =>
      plane.reports.some((report) => report.type === 'numbers.request'),
    )
    answering(plane)
    plane.cut()
    await expect(answer).resolves.toMatchObject({ first: 7 })
    const requests = plane.reports.filter((report) => report.type === 'numbers.request')
    expect(requests.length).toBe(2)
    expect(requests[0]?.id).toBe(requests[1]?.id)
    expect(requests[1]?.epoch).toBeGreaterThan(requests[0]?.epoch ?? 0)
    expect(plane.connections).toBe(2)
    expect(plane.introductions.map((hello) => ('joins' in hello ? hello.joins : 0))).toEqual([1, 2])
  })

  test('whose epoch is refused is sent again after the next leases', async () => {
    const plane = fakePlane()
    const worker = oneRun()
    let refusals = 1
    answering(plane)
    const { on } = plane
    plane.on = (report) => {
      if (report.type !== 'numbers.request' || refusals === 0) return on(report)
      refusals -= 1
      return [{ type: 'failed', re: report.id, problem: { code: 'LEASE_LOST', message: 'old' } }]
    }
    const { link } = run(plane, worker)
    const asked = runLink(link, RUN, () => worker.epoch)
    await expect(asked.request('numbers.request', { count: 1 }, NEVER)).resolves.toMatchObject({
      first: 7,
    })
    expect(plane.reports.map(({ type }) => type).slice(0, 4)).toEqual([
      'heartbeat',
      'numbers.request',
      'heartbeat',
      'numbers.request',
    ])
  })

  test('that the control plane refuses fails with its code', async () => {
    const plane = fakePlane()
    plane.on = (report) => {
      if (report.type === 'heartbeat') return [leases(report)]
      const problem = {
        code: 'GRANT_REFUSED',
        message: 'x',
        details: { what: 'pack 1', problem: 'too much' },
      }
      return [{ type: 'failed', re: report.id, problem }]
    }
    const { link } = run(plane, oneRun())
    const asked = runLink(link, RUN, () => 1)
    await expect(asked.request('numbers.request', { count: 1 }, NEVER)).rejects.toMatchObject({
      code: 'GRANT_REFUSED',
      details: { what: 'pack 1' },
    })
  })

  test('answered with something else fails', async () => {
    const plane = fakePlane()
    plane.on = (report) =>
      report.type === 'heartbeat'
        ? [leases(report)]
        : [{ type: 'commit.taken', re: report.id, run: RUN }]
    const { link } = run(plane, oneRun())
    const asked = runLink(link, RUN, () => 1)
    await expect(asked.request('numbers.request', { count: 1 }, NEVER)).rejects.toMatchObject({
      code: 'PROTOCOL_VIOLATION',
    })
  })

  test('that is no longer wanted ends at once, connected or not', async () => {
    const { link } = run(fakePlane(), oneRun())
    const stop = new AbortController()
    const asked = runLink(link, RUN, () => 1)
    const waiting = asked.request('numbers.request', { count: 1 }, stop.signal)
    stop.abort(fail('CANCELED'))
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELED' })
  })
})

describe('the link', () => {
  test('hands over orders about runs, of every kind', async () => {
    const plane = fakePlane()
    const taken: string[] = []
    run(plane, { ...oneRun(), order: ({ type }) => taken.push(type) })
    await eventually('a connection', () => plane.reports.length > 0)
    plane.send(restoreOrder())
    plane.send({ type: 'restore.cancel', run: RUN, epoch: 1 })
    plane.send({ type: 'backup.cancel', run: RUN, epoch: 1 })
    await eventually('all of them', () => taken.length === 3)
    expect(taken).toEqual(['restore.start', 'restore.cancel', 'backup.cancel'])
  })

  test('sees the requests of a restore through, and drops its old progress', async () => {
    const plane = fakePlane()
    plane.on = (report) => {
      if (report.type === 'heartbeat') return [leases(report)]
      if (report.type !== 'restore.finish') return []
      return [{ type: 'restore.settled', re: report.id, run: report.run }]
    }
    const { link } = run(plane, oneRun())
    const told = restoreLink(link, RUN, () => 1)
    const amounts = amountsOf(newRestoreTally())
    told.tell('restore.progress', { phase: 'checking', ...amounts, files_total: 0, bytes_total: 0 })
    await told.request('restore.finish', { status: 'completed', ...amounts }, NEVER)
    expect(plane.reports.map(({ type }) => type)).toEqual(['heartbeat', 'restore.finish'])
  })

  test('gives up the requests that wait when it ends for good', async () => {
    const plane = fakePlane()
    const { link, ended, stop } = run(plane, oneRun())
    const asked = runLink(link, RUN, () => 1)
    const waiting = asked.request('numbers.request', { count: 1 }, NEVER)
    await eventually('a connection', () => plane.reports.length > 0)
    stop()
    await expect(waiting).rejects.toMatchObject({ code: 'AGENT_STOPPED' })
    await ended
    const late = asked.request('numbers.request', { count: 1 }, NEVER)
    await expect(late).rejects.toMatchObject({ code: 'AGENT_STOPPED' })
  })

  test('keeps what must be told for the next connection, and drops old progress', async () => {
    const plane = fakePlane()
    const { link } = run(plane, oneRun())
    const told = runLink(link, RUN, () => 1)
    const counts = {
      files: 0,
      directories: 0,
      others: 0,
      changed: 0,
      unchanged: 0,
      skipped: 0,
      errors: 0,
    }
    told.tell('progress', {
      phase: 'scanning',
      counts,
      bytes_source: 0,
      bytes_read: 0,
      bytes_new: 0,
      bytes_stored: 0,
    })
    told.tell('backup.accepted', {})
    await link.drained()
    expect(plane.reports.map(({ type }) => type)).toEqual(['heartbeat', 'backup.accepted'])
  })

  test('connects again after a refusal that may pass, and gives up at one that will not', async () => {
    const plane = fakePlane()
    plane.refuse = 'DATABASE_UNAVAILABLE'
    const { ended } = run(plane, oneRun())
    await eventually('three tries', () => plane.connections >= 3)
    plane.refuse = 'AGENT_CLONED'
    await expect(ended).rejects.toMatchObject({ code: 'AGENT_CLONED' })
  })

  test('leaves with a farewell when it is stopped', async () => {
    const plane = fakePlane()
    const { ended, stop } = run(plane, oneRun())
    await eventually('a connection', () => plane.reports.length > 0)
    stop()
    await ended
    expect(plane.left).toEqual([1001])
  })

  test('finds the place where agents connect from any form of the address', () => {
    expect(connectUrl('http://host:8420')).toBe('ws://host:8420/v1/agent/connect')
    expect(connectUrl('https://host/base/')).toBe('wss://host/base/v1/agent/connect')
    expect(connectUrl('wss://host/v1/agent/connect')).toBe('wss://host/v1/agent/connect')
  })

  test('greets once for an enrolment and gives the welcome, or the reason why not', async () => {
    const plane = fakePlane()
    plane.welcome = {
      organization: {
        id: anId(),
        name: 'org',
        signing_key: Buffer.alloc(32).toString('base64url'),
      },
    }
    const introduce: Parameters<typeof greet>[0]['introduce'] = ({ protocol }) => ({
      type: 'enroll',
      id: anId(),
      protocol,
      token: 'token',
      facts: FACTS,
      signing_key: Buffer.alloc(32).toString('base64url'),
      box_key: Buffer.alloc(32).toString('base64url'),
      signature: Buffer.alloc(64).toString('base64url'),
    })
    const how = { dial: plane.dial, url: 'ws://here', clock: QUICK.clock, introduce }
    await expect(greet(how)).resolves.toMatchObject({ organization: { name: 'org' } })
    plane.refuse = 'ENROLMENT_REFUSED'
    await expect(greet(how)).rejects.toMatchObject({ code: 'ENROLMENT_REFUSED' })
    const dead = {
      ...how,
      dial: ((_url, on) => {
        queueMicrotask(() => on.closed('ECONNREFUSED'))
        return { send: () => undefined, close: () => undefined, drop: () => undefined }
      }) satisfies FakePlane['dial'],
    }
    await expect(greet(dead)).rejects.toMatchObject({ code: 'CONTROL_PLANE_UNREACHABLE' })
  })
})
