import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PATIENCE } from '#agent/core/patience.ts'
import type { Identity } from '#agent/core/state.ts'
import { runAgent, type RunParts } from '#agent/entry/cli/run.ts'
import { enroll, loadIdentity, saveIdentity } from '#agent/flow/enroll.ts'
import { stateFolder } from '#agent/io/state-folder.ts'
import { anId } from '../../support/agent-control-plane.ts'
import { fakePlane, type FakePlane } from '../../support/agent-fake-plane.ts'
import { QUICK } from '../../support/agent-linked.ts'
import { eventually } from '../../support/wait.ts'
import { FACTS } from '../../support/facts.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-copied-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const unused = (): never => {
  throw new Error('nothing is ordered here')
}
const seed = (byte: number): string => Buffer.alloc(32, byte).toString('base64url')
const organization = { id: anId(), name: 'o', signing_key: seed(3) }
const someone = (): Identity => ({
  version: 1,
  url: 'ws://here',
  signing_seed: seed(1),
  box_seed: seed(2),
  server: anId(),
  organization,
  joins: 10,
  catalog_epoch: 1,
  pinned: [],
})

const partsOn = (plane: FakePlane): RunParts => ({
  state: stateFolder(folder),
  folder,
  world: QUICK,
  facts: FACTS,
  dial: plane.dial,
  patience: PATIENCE,
  upload: unused,
  sealers: { width: 1, start: unused },
  fs: unused,
  restoring: { readOnce: unused, place: unused, extractors: unused },
  guard: { backup: unused, restore: unused, ceiling: unused },
  throttling: { set: unused, download: unused },
  priority: { lower: unused },
  pid: 1,
  serveStatus: async () => await Promise.resolve({ close: async () => await Promise.resolve() }),
})

describe('an agent that was refused as a copy', () => {
  test('stays refused however often it is started, and does not count on; until it is enrolled anew', async () => {
    const state = stateFolder(folder)
    saveIdentity(state, someone())
    const plane = fakePlane()
    plane.refuse = 'AGENT_CLONED'
    const never = new AbortController().signal
    for (let n = 0; n < 3; n += 1)
      await expect(runAgent(partsOn(plane), never)).rejects.toMatchObject({ code: 'AGENT_CLONED' })
    expect([plane.connections, loadIdentity(state)?.joins]).toEqual([1, 11])
    plane.refuse = null
    await expect(runAgent(partsOn(plane), never)).rejects.toMatchObject({ code: 'AGENT_CLONED' })
    expect(plane.connections).toBe(1)
    await enroll(
      {
        state,
        world: QUICK,
        facts: FACTS,
        greet: async () =>
          await Promise.resolve({
            type: 'welcome',
            id: anId(),
            re: anId(),
            version: 1,
            server: anId(),
            joins: 30,
            catalog_epoch: 1,
            heartbeat_seconds: 20,
            organization,
          }),
        show: () => undefined,
        ask: null,
      },
      { url: 'ws://here', token: 't', confirmed: [seed(9)] },
    )
    const stop = new AbortController()
    const running = runAgent(partsOn(plane), stop.signal)
    await eventually('a connection', () => plane.introductions.length === 2)
    stop.abort()
    await running
    expect(plane.introductions[1]).toMatchObject({ type: 'connect', joins: 31 })
  })
})

test('an agent ends where the catalog is older than one that it has seen, and remembers the newest', async () => {
  const state = stateFolder(folder)
  saveIdentity(state, someone())
  const newer = fakePlane()
  newer.welcome = { catalog_epoch: 5 }
  const stop = new AbortController()
  const running = runAgent(partsOn(newer), stop.signal)
  await eventually('the epoch is kept', () => loadIdentity(state)?.catalog_epoch === 5)
  stop.abort()
  await running
  const older = fakePlane()
  older.welcome = { catalog_epoch: 4 }
  await expect(runAgent(partsOn(older), new AbortController().signal)).rejects.toThrow(
    'the catalog is older',
  )
  expect(loadIdentity(state)?.catalog_epoch).toBe(5)
})
