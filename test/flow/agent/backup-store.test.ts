import { writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { PATIENCE, patienceFor, patienceOf, REUPLOADS } from '#agent/core/patience.ts'
import { createGate } from '#agent/flow/gate.ts'
import { createPace } from '#agent/flow/pace.ts'
import type { PutFault } from '../../support/agent-control-plane.ts'
import { expectComplete, newRig } from '../../support/agent-backup-checks.ts'
import type { Rig } from '../../support/agent-backup.ts'

/** Some packs' worth of content, on a rig whose packs are small. */
const withPacks = (): Rig => {
  const r = newRig(MiB)
  for (let i = 0; i < 6; i += 1) writeFileSync(join(r.source, `file ${i}`), randomBytes(MiB))
  return r
}

const often = (faults: readonly PutFault[]): PutFault[] =>
  Array.from({ length: 20_000 }, () => faults).flat()

const lines = (r: Rig): string[] =>
  r.cp.told.flatMap(({ type, body }) =>
    type === 'log' && 'message' in body ? [String(body.message)] : [],
  )

describe('a store', () => {
  test.each(['refuse', 'forbid', 'lost', 'void', 'etag'] as const)(
    'that answers most PUTs with "%s" has every object in the end',
    async (fault) => {
      const r = withPacks()
      r.cp.faults.push(...often([fault, fault, 'none']))
      await r.backup()
      expectComplete(r)
      expect(new Set(r.cp.puts).size).toBe(r.cp.puts.length)
    },
  )

  test('that refuses for good ends the backup with its words, within the patience', async () => {
    const r = withPacks()
    r.cp.faults.push(...often(['forbid']))
    const backup = r.backup({ patience: { ...PATIENCE, refused: 200 } })
    await expect(backup).rejects.toMatchObject({
      code: 'UPLOAD_FAILED',
      details: { problem: '403 AccessDenied' },
    })
    expect(lines(r)[0]).toMatch(/failed 3 times: 403 AccessDenied. Trying again/)
    r.cp.faults.length = 0
    await r.backup()
    expectComplete(r)
  })

  test('that is away for good ends the backup within the patience, and not before', async () => {
    const r = withPacks()
    r.cp.faults.push(...often(['refuse']))
    await expect(r.backup({ patience: patienceOf(300) })).rejects.toMatchObject({
      code: 'UPLOAD_FAILED',
    })
    r.cp.faults.length = 0
    // A refusal that comes and goes is not one that lasts: all of these meet the first object, with nothing beside it.
    r.cp.faults.push(...Array.from({ length: 6 }, () => ['forbid', 'refuse'] as const).flat())
    await r.backup({ patience: { ...PATIENCE, refused: 100 } })
    expectComplete(r)
  })

  test('that never shows what it took gets it a bounded number of times', async () => {
    const r = withPacks()
    r.cp.faults.push(...often(['void']))
    await expect(r.backup()).rejects.toMatchObject({
      code: 'UPLOAD_FAILED',
      details: { problem: 'it is not in the store' },
    })
    // The first object is the vault's signer, which nothing goes beside.
    expect(r.cp.asked.filter((type) => type === 'objects.stored').length).toBe(REUPLOADS + 1)
  })
})

describe('what the control plane overlooks', () => {
  test('is put again, and nothing beside it', async () => {
    const r = withPacks()
    await r.backup()
    const before = r.cp.puts.length
    writeFileSync(join(r.source, 'more'), randomBytes(3 * MiB))
    r.cp.overlook = 2
    await r.backup()
    expectComplete(r)
    // 412: they are there, so nothing is stored twice.
    expect(new Set(r.cp.puts).size).toBe(r.cp.puts.length)
    expect(r.cp.puts.length).toBeGreaterThan(before)
    expect(lines(r).filter((line) => line.includes('Putting it again')).length).toBe(2)
  })

  test('is put again when it is the record that the commit does not find', async () => {
    const r = withPacks()
    r.cp.loseRecord = 2
    await r.backup()
    expectComplete(r)
    expect(r.cp.asked.filter((type) => type === 'commit.finish').length).toBe(3)
  })
})

describe('the pace', () => {
  test('halves when the store asks for it, and comes back by and by', () => {
    const gate = createGate(3)
    const pace = createPace(gate, 3)
    const free = (): number => {
      let n = 0
      for (; gate.isFree; n += 1) gate.take()
      for (let i = 0; i < n; i += 1) gate.leave()
      return n
    }
    expect(free()).toBe(3)
    pace.slowDown()
    expect(free()).toBe(1)
    pace.slowDown()
    expect(free()).toBe(1)
    for (let i = 0; i < 8; i += 1) pace.wentWell()
    expect(free()).toBe(2)
    for (let i = 0; i < 100; i += 1) pace.wentWell()
    expect(free()).toBe(3)
  })
})

describe('patience', () => {
  test.each([
    ['STORAGE_UNAVAILABLE', {}, PATIENCE.away],
    ['STORAGE_UNAVAILABLE', { status: 503 }, PATIENCE.away],
    ['STORAGE_UNAVAILABLE', { status: 403 }, PATIENCE.refused],
    ['DATABASE_UNAVAILABLE', {}, PATIENCE.away],
    ['RATE_LIMITED', { status: 429 }, PATIENCE.away],
    ['INTERNAL', {}, PATIENCE.refused],
    ['GRANT_REFUSED', {}, 0],
    ['PROTOCOL_VIOLATION', {}, 0],
    ['UPLOAD_FAILED', {}, 0],
    ['LEASE_LOST', {}, 0],
  ] as const)('with %s %j lasts %i ms', (code, details, expected) => {
    expect(patienceFor(code, details, PATIENCE)).toBe(expected)
  })

  test('is what somebody asks for', () => {
    expect(patienceOf(5000)).toMatchObject({ away: 5000, refused: 5000 })
    expect(patienceOf(3 * PATIENCE.silent)).toMatchObject({
      away: 3 * PATIENCE.silent,
      refused: PATIENCE.refused,
      silent: 3 * PATIENCE.silent,
    })
  })
})
