import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { packKey } from '#shared/format/layout.ts'
import { deletionIn } from '#server/io/db/deletion/deletion.ts'
import type { Caller } from '#server/core/caller.ts'
import type { Deletion } from '#server/ports/deletion.ts'
import type { BackupId, JobId, VaultId } from '#shared/ids.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { ageObject, must, wantedOf, writeBackup } from '../../../support/agent-plane.ts'
import { id } from '../../../support/agent-world.ts'
import { collectAll, type Counts, counting, GRACE_OVER } from '../../../support/collecting.ts'
import {
  type Bench,
  finishOf,
  runOf,
  stage,
  startBench,
  writeRecord,
} from '../../../support/commit-bench.ts'
import { type DirectAgent, directAgent, startOpen } from '../../../support/direct-agent.ts'

let bench: Bench
let deletion: Deletion
let caller: Caller
beforeAll(async () => {
  bench = await startBench()
  deletion = deletionIn(bench.database.db, {
    makeId: () => id<'audit entry'>(),
    backups: { get: async () => Promise.resolve(null) },
  })
  caller = {
    organization: bench.world.organization,
    project: null,
    token: id<'token'>(),
    name: 'test',
    scopes: ['delete'],
    expiresAt: null,
  }
})
afterAll(async () => bench.close())

let agent: DirectAgent
let job: JobId
let counts: Counts
const stop = new AbortController().signal

/** Every test has a vault of its own. */
beforeEach(async () => {
  agent = await directAgent(bench.parts, bench.world)
  job = await bench.world.addJob(agent.server)
  counts = { gets: 0, lists: 0, removed: 0 }
})

type Made = {
  readonly id: BackupId
  readonly start: BackupStart
  readonly packs: readonly number[]
}

/** A first backup: `count` packs and a tree. */
const first = async (count = 2): Promise<Made> => {
  const start = await startOpen(bench.parts, bench.world, agent, job)
  const { packs } = await writeBackup(agent, start, count)
  must(await agent.ask(finishOf(start)), 'commit.done')
  return { id: start.run as BackupId, start, packs }
}

/** The next one: `changes` against the one before. */
const next = async (changes: readonly (readonly [number, number])[]): Promise<Made> => {
  const start = await startOpen(bench.parts, bench.world, agent, job)
  await stage(agent, start, ['changes', changes])
  await writeRecord(agent, start)
  must(await agent.ask(finishOf(start)), 'commit.done')
  return { id: start.run as BackupId, start, packs: [] }
}

const collect = async (isAway?: () => boolean) =>
  collectAll(bench.database, counting(bench.parts.stores, counts, isAway))

const statesIn = async (vault: string): Promise<Readonly<Record<number, string>>> => {
  const rows = await bench.database.db
    .selectFrom('packs')
    .select(['pack_no', 'state'])
    .where('vault_id', '=', vault as VaultId)
    .execute()
  return Object.fromEntries(rows.map(({ pack_no, state }) => [pack_no, state]))
}

const keysIn = async (vault: string): Promise<readonly string[]> =>
  Array.fromAsync(
    (await bench.parts.stores.open(bench.world.storage)).list(`vaults/${vault}/`, stop),
  )

const keyOf = async (vault: string, no: number): Promise<string> => {
  const row = await bench.database.db
    .selectFrom('packs')
    .select('object_key')
    .where('vault_id', '=', vault as VaultId)
    .where('pack_no', '=', no)
    .executeTakeFirstOrThrow()
  return row.object_key
}

describe('a collection', () => {
  test('deletes what only a deleted backup used, after the grace period, and reads nothing', async () => {
    const { id: old, start, packs } = await first()
    const [a = 0, b = 0, tree = 0] = packs
    const { id: kept } = await next([[a, 0]])
    const vault = start.vault.id
    await deletion.remove(caller, old)
    await collect()
    expect(await statesIn(vault)).toEqual({ [a]: 'condemned', [b]: 'stored', [tree]: 'stored' })
    const before = await keysIn(vault)
    expect(before).toContain(await keyOf(vault, a))
    await bench.database.advanceClock(GRACE_OVER)
    const done = await collect()
    expect(done).toContainEqual(expect.objectContaining({ purged: 1, deleted: 2, removed: 2 }))
    expect(await statesIn(vault)).toEqual({ [a]: 'deleted', [b]: 'stored', [tree]: 'stored' })
    const after = await keysIn(vault)
    // The pack, and the record of the backup that is gone.
    expect(before.filter((key) => !after.includes(key))).toHaveLength(2)
    expect(after.filter((key) => key.includes(kept))).toHaveLength(1)
    expect(after.filter((key) => key.includes(old))).toEqual([])
    expect(counts).toMatchObject({ gets: 0, removed: 2 })
  })

  test('leaves a backup that was brought back as it was; later it cannot be', async () => {
    const { id: only, start, packs } = await first()
    await deletion.remove(caller, only)
    await collect()
    expect(Object.values(await statesIn(start.vault.id))).toEqual(packs.map(() => 'condemned'))
    await bench.database.advanceClock(GRACE_OVER - 2 * 3_600_000)
    await deletion.restore(caller, only)
    expect(Object.values(await statesIn(start.vault.id))).toEqual(packs.map(() => 'stored'))
    await bench.database.advanceClock(GRACE_OVER)
    await collect()
    expect(Object.values(await statesIn(start.vault.id))).toEqual(packs.map(() => 'stored'))
    await deletion.remove(caller, only)
    await bench.database.advanceClock(GRACE_OVER)
    await expect(deletion.restore(caller, only)).rejects.toMatchObject({ code: 'GONE' })
    expect(await deletion.remove(caller, only)).toBeNull()
  })

  test('deletes nothing of a vault that a recovery could not read all of', async () => {
    const { id: only, start, packs } = await first()
    const vault = start.vault.id
    const unread = async (at: string): Promise<void> => {
      await sql`update vaults set unread_at = ${at === '' ? null : at}::timestamptz where id = ${vault}`.execute(
        bench.database.db,
      )
    }
    await unread('2026-01-01')
    await deletion.remove(caller, only)
    await collect()
    await bench.database.advanceClock(GRACE_OVER)
    await collect()
    expect(Object.values(await statesIn(vault))).toEqual(packs.map(() => 'condemned'))
    await unread('')
    await collect()
    expect(Object.values(await statesIn(vault))).toEqual(packs.map(() => 'deleted'))
  })

  test('asks the storage again for what it did not delete', async () => {
    const { id: only, start } = await first()
    await deletion.remove(caller, only)
    await collect()
    await bench.database.advanceClock(GRACE_OVER)
    let isAway = true
    await expect(collect(() => isAway)).rejects.toThrow('away')
    expect(Object.values(await statesIn(start.vault.id))).toEqual(['deleted', 'deleted', 'deleted'])
    expect(
      (await keysIn(start.vault.id)).filter((key) => /packs|trees|backups/.test(key)),
    ).toHaveLength(4)
    isAway = false
    await collect(() => isAway)
    expect((await keysIn(start.vault.id)).filter((key) => /packs|trees|backups/.test(key))).toEqual(
      [],
    )
  })

  test('tells the next run, and a commit that builds upon what was deleted has to bring it again', async () => {
    const { id: only, start, packs } = await first()
    const [a = 0, b = 0, tree = 0] = packs
    await deletion.remove(caller, only)
    await collect()
    await bench.database.advanceClock(GRACE_OVER)
    await collect()
    const again = await startOpen(bench.parts, bench.world, agent, job)
    expect([...again.gone].sort()).toEqual([...packs].sort())
    expect(again.gc_epoch).toBeGreaterThan(start.gc_epoch)
    // As if it had heard nothing: its changes say nothing of the packs that they build upon.
    const { packs: fresh } = await writeBackup(agent, again, 1)
    await stage(agent, again, ['changes', [[fresh[0] ?? 0, 5]]])
    await writeRecord(agent, again)
    const missing = must(await agent.ask(finishOf(again)), 'commit.missing')
    expect([...missing.packs].sort()).toEqual([...packs].sort())
    await stage(agent, again, [
      'changes',
      [
        [a, 0],
        [b, 0],
        [tree, 0],
        [fresh[0] ?? 0, 5],
        [fresh[1] ?? 0, 5],
      ],
    ])
    await writeRecord(agent, again)
    must(await agent.ask(finishOf(again)), 'commit.done')
  })

  test('waits for a run that was told before: it may use what was condemned since', async () => {
    const { id: only, start, packs } = await first()
    await deletion.remove(caller, only)
    const other = await bench.world.addJob(agent.server)
    const running = await startOpen(bench.parts, bench.world, agent, other)
    expect(running.gone).toEqual([])
    await collect()
    await bench.database.advanceClock(GRACE_OVER)
    await collect()
    expect(Object.values(await statesIn(start.vault.id))).toEqual(packs.map(() => 'condemned'))
    await stage(agent, running, ['whole', packs.map((no) => [no, 7])])
    await writeRecord(agent, running)
    must(await agent.ask(finishOf(running)), 'commit.done')
    await collect()
    expect(Object.values(await statesIn(start.vault.id))).toEqual(packs.map(() => 'stored'))
  })

  test('takes what a run left behind: stored packs, packs never confirmed, its record', async () => {
    const { start } = await first(1)
    const run = await startOpen(bench.parts, bench.world, agent, job)
    const { packs } = await writeBackup(agent, run, 1)
    const numbers = must(
      await agent.ask({ type: 'numbers.request', ...runOf(run), count: 1 }),
      'numbers.given',
    )
    const unheard = ageObject('pack', numbers.first, run.vault.recipients.content)
    const { grants } = must(
      await agent.ask({
        type: 'grants.request',
        ...runOf(run),
        objects: [wantedOf(unheard)],
      }),
      'grants.given',
    )
    const grant = grants[0]!
    await fetch(grant.url, {
      method: 'PUT',
      headers: grant.headers,
      body: Buffer.from(unheard.bytes),
    })
    await agent.tell({
      type: 'backup.ended',
      ...runOf(run),
      status: 'failed',
      problem: { code: 'INTERNAL_AGENT', message: 'it broke' },
    })
    await collect()
    const states = await statesIn(start.vault.id)
    // For the run that goes on with it.
    expect(packs.map((no) => states[no])).toEqual(packs.map(() => 'stored'))
    await bench.database.advanceClock(GRACE_OVER)
    await collect()
    await bench.database.advanceClock(GRACE_OVER)
    await collect()
    const end = await statesIn(start.vault.id)
    expect([...packs, unheard.no].map((no) => end[no])).toEqual(['deleted', 'deleted', 'deleted'])
    const keys = await keysIn(start.vault.id)
    expect(keys.filter((key) => key.includes(run.run) || key === grant.key)).toEqual([])
    expect(Object.values(end).filter((state) => state === 'stored')).toHaveLength(2)
  })

  test('reports an object that no row knows, and leaves it', async () => {
    const { start } = await first(1)
    const store = await bench.parts.stores.open(bench.world.storage)
    const stranger = packKey(start.vault.id, 'pack', 4_294_967_999, 'ab'.repeat(16))
    await store.put(stranger, Buffer.from('strange'), { ifAbsent: true }, stop)
    await bench.database.advanceClock(2 * GRACE_OVER)
    await collect()
    const report = await deletion.report(caller, bench.world.storage)
    const mine = report?.vaults.find(({ vault_id }) => vault_id === start.vault.id)
    expect(mine).toMatchObject({ unknown_objects: 1, unknown_keys: [stranger] })
    expect(await keysIn(start.vault.id)).toContain(stranger)
  })

  test('retires a pack of which the newest backup uses less than half, once older ones go soon', async () => {
    const { id: old, start, packs } = await first()
    const [a = 0, b = 0] = packs
    const { id: half } = await next([
      [a, 150],
      [b, 250],
    ])
    await collect()
    const told = async (): Promise<readonly number[] | undefined> => {
      const other = await bench.world.addJob(agent.server)
      const run = await startOpen(bench.parts, bench.world, agent, other)
      await agent.tell({
        type: 'backup.ended',
        ...runOf(run),
        status: 'failed',
        problem: { code: 'INTERNAL_AGENT', message: 'only asking' },
      })
      return run.retired
    }
    expect(await told()).toEqual([])
    await sql`update backups set expires_at = hf_now() + interval '29 days' where id = ${old}`.execute(
      bench.database.db,
    )
    await collect()
    expect(await told()).toEqual([a])
    // It dies with its last user.
    await next([[a, 0]])
    await deletion.remove(caller, old)
    await collect()
    expect((await statesIn(start.vault.id))[a]).toBe('stored')
    await deletion.remove(caller, half)
    await collect()
    expect((await statesIn(start.vault.id))[a]).toBe('condemned')
  })
})
