/** A bucket that was emptied, in part or whole, is noticed by the next backup, and what is gone is never built upon. */
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { dispatchBackups } from '#server/flow/dispatch-runs.ts'
import type { VaultStore } from '#server/ports.ts'
import type { JobId, VaultId } from '#shared/ids.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { must, openNewVault, writeBackup } from '../../../support/agent-plane.ts'
import {
  type Bench,
  finishOf,
  stage,
  startBench,
  writeRecord,
} from '../../../support/commit-bench.ts'
import { type DirectAgent, directAgent, startRun, statusOf } from '../../../support/direct-agent.ts'

const stop = new AbortController().signal
let bench: Bench
let store: VaultStore

beforeAll(async () => {
  bench = await startBench()
  store = await bench.parts.stores.open(bench.world.storage)
})
afterAll(async () => bench.close())

type Scene = {
  readonly agent: DirectAgent
  readonly job: JobId
  readonly vault: VaultId
  readonly genesis: Uint8Array
  readonly packs: readonly number[]
  readonly backup: string
}

/** One committed backup of a server of its own. */
const committed = async (count = 3): Promise<Scene> => {
  const { parts, world } = bench
  const agent = await directAgent(parts, world)
  const job = await world.addJob(agent.server)
  const start = await startRun(parts, world, agent, job)
  const genesis = await openNewVault(agent, agent, [world, start])
  const { packs } = await writeBackup(agent, start, count)
  must(await agent.ask(finishOf(start)), 'commit.done')
  return { agent, job, vault: start.vault.id as VaultId, genesis, packs, backup: start.run }
}

const keysIn = async (vault: string, folder = ''): Promise<readonly string[]> =>
  Array.fromAsync(store.list(`vaults/${vault}/${folder}`, stop))

const packKey = async (vault: VaultId, no: number): Promise<string> =>
  (
    await bench.database.db
      .selectFrom('packs')
      .select('object_key')
      .where('vault_id', '=', vault)
      .where('pack_no', '=', no)
      .executeTakeFirstOrThrow()
  ).object_key

const lostIn = async (vault: VaultId): Promise<readonly number[]> =>
  (
    await bench.database.db
      .selectFrom('packs')
      .select('pack_no')
      .where('vault_id', '=', vault)
      .where('lost_at', 'is not', null)
      .orderBy('pack_no')
      .execute()
  ).map(({ pack_no }) => pack_no)

const verificationsOf = async (backup: string): Promise<readonly string[]> =>
  (
    await sql<{
      level: string
    }>`select level from verifications where backup_id = ${backup}`.execute(bench.database.db)
  ).rows.map(({ level }) => level)

const nextRun = async ({ agent, job }: Scene): Promise<BackupStart> =>
  startRun(bench.parts, bench.world, agent, job)

const warnings = async (backup: string): Promise<readonly string[]> =>
  (
    await sql<{ message: string }>`
      select message from backup_logs where backup_id = ${backup} and level = 'warn' order by seq`.execute(
      bench.database.db,
    )
  ).rows.map(({ message }) => message)

test('what is there is left alone, and nobody is told anything', async () => {
  const scene = await committed()
  const start = await nextRun(scene)
  expect([start.gone, start.forget, start.vault.again]).toEqual([[], undefined, undefined])
  expect([await lostIn(scene.vault), await verificationsOf(scene.backup)]).toEqual([[], []])
  expect(await warnings(start.run)).toEqual([])
})

test('an emptied bucket: everything is told as gone, written again with the first objects, and the backup before is verified', async () => {
  const scene = await committed()
  const { agent, vault, packs } = scene
  await store.remove(await keysIn(vault), stop)
  const start = await nextRun(scene)
  expect(start.gone).toEqual(packs)
  expect(start.vault).toMatchObject({ is_new: false, again: true })
  expect(await verificationsOf(scene.backup)).toEqual(['objects'])
  expect(await warnings(start.run)).toMatchObject([
    expect.stringMatching(/does not have the record .* signers or secrets .* 4 packs any more/),
  ])
  // Before they are there again nothing is committed, whatever an agent thinks.
  const early = await writeBackup(agent, start, 1)
  const refused = must(await agent.ask(finishOf(start)), 'failed')
  expect(refused.problem.details?.['problem']).toBe('the vault is not open')
  await openNewVault(agent, agent, [bench.world, start], scene.genesis)
  await stage(agent, start, ['whole', early.packs.map((no) => [no, 9])])
  must(await agent.ask(finishOf(start)), 'commit.done')
  expect([await keysIn(vault, 'signers/'), await keysIn(vault, 'keys/')]).toMatchObject([
    [expect.any(String)],
    [expect.any(String)],
  ])
  // And all is well again.
  const after = await nextRun(scene)
  expect([after.gone, after.vault.again]).toEqual([[], undefined])
  await agent.beat()
})

test('the first objects may not become others, with whatever key they are signed', async () => {
  const scene = await committed()
  await store.remove(await keysIn(scene.vault, 'signers/'), stop)
  const start = await nextRun(scene)
  expect(start.vault.again).toBe(true)
  await expect(openNewVault(scene.agent, scene.agent, [bench.world, start])).rejects.toThrow(
    /another than the one that is known/,
  )
})

test('a bucket that lost some packs: those alone are told, all of them, though few were looked at', async () => {
  const scene = await committed(40)
  const { vault, packs } = scene
  const gone = packs.filter((_, place) => place % 8 !== 0)
  const keys = await Promise.all(gone.map(async (no) => packKey(vault, no)))
  const bytes = await Promise.all(keys.map(async (key) => store.get(key, { start: 0 }, stop)))
  await store.remove(keys, stop)
  const start = await nextRun(scene)
  expect(start.gone).toEqual(gone)
  expect(start.vault.again).toBeUndefined()
  expect(await lostIn(vault)).toEqual(gone)
  // An agent that goes on without a word about them is told again.
  await stage(scene.agent, start, ['changes', []])
  await writeRecord(scene.agent, start)
  const missing = must(await scene.agent.ask(finishOf(start)), 'commit.missing')
  expect(missing.packs.toSorted((a, b) => a - b)).toEqual(gone)
  // The right bucket is back: what it has counts again, and readers never stopped trying.
  expect(await bench.parts.reading.packs(vault, gone)).toHaveLength(gone.length)
  for (const [place, key] of keys.entries())
    await store.put(key, bytes[place]!, { ifAbsent: true }, stop)
  const [kept = 0] = packs.filter((no) => !gone.includes(no))
  await store.remove([(await keysIn(vault, 'backups/'))[0]!, await packKey(vault, kept)], stop)
  await scene.agent.beat()
  const next = await nextRun(scene)
  expect(next.gone).toEqual([kept])
  expect(await lostIn(vault)).toEqual([kept])
})

test('what vanishes while a run is at work is noticed by its commit', async () => {
  const scene = await committed(30)
  const { agent, vault, packs } = scene
  const start = await nextRun(scene)
  expect(start.gone).toEqual([])
  await store.remove(await keysIn(vault, 'packs/'), stop)
  await stage(agent, start, ['changes', []])
  await writeRecord(agent, start)
  const missing = must(await agent.ask(finishOf(start)), 'commit.missing')
  expect(missing.packs.toSorted((a, b) => a - b)).toEqual(packs.slice(0, -1))
  await agent.beat()
})

test('the secret of the vault that vanishes while a run is at work fails it; the next run writes it again', async () => {
  const scene = await committed()
  const { agent, vault } = scene
  const start = await nextRun(scene)
  await store.remove(await keysIn(vault, 'keys/'), stop)
  await stage(agent, start, ['changes', []])
  await writeRecord(agent, start)
  expect(must(await agent.ask(finishOf(start)), 'failed').problem.code).toBe('MISSING_OBJECT')
  expect(await statusOf(bench.world, start.run)).toMatchObject({ sequence: null })
  await agent.beat()
  expect((await nextRun(scene)).vault.again).toBe(true)
})

test('other bytes under the name of the record are noticed; an ETag alone means nothing', async () => {
  const scene = await committed()
  const { vault } = scene
  const { db } = bench.database
  await sql`update backups set record_etag = 'moved' where id = ${scene.backup}`.execute(db)
  const [key = ''] = await keysIn(vault, 'backups/')
  const first = await nextRun(scene)
  expect(await verificationsOf(scene.backup)).toEqual([])
  await scene.agent.beat()
  const size = (await store.head(key, stop))?.size ?? 0
  await store.put(key, new Uint8Array(size), { ifAbsent: false }, stop)
  await nextRun(scene)
  expect([first.gone, await verificationsOf(scene.backup)]).toEqual([[], ['objects']])
})

test('a storage that does not answer says nothing about what it has: the run begins, and its commit asks again', async () => {
  const scene = await committed()
  const { parts, world } = bench
  await world.addBackup(scene.job, scene.agent.server)
  const open: typeof parts.stores.open = async (storage) => ({
    ...(await parts.stores.open(storage)),
    head: async () => Promise.reject(new Error('away')),
  })
  await dispatchBackups({ ...parts, stores: { open } }, stop)
  const start = scene.agent.last('backup.start')
  expect([start.gone, await lostIn(scene.vault)]).toEqual([[], []])
  expect(start.sequence).toBe(2)
})

test('more than an order can say: nothing that the agent knows of counts', async () => {
  const scene = await committed(1)
  const { vault } = scene
  await sql`
    insert into packs (vault_id, pack_no, org_id, class, object_key, size, sha256, etag, state)
    select ${vault}, 5000000000 + n, ${bench.world.organization}, 'pack', 'vaults/x/' || n, 100, decode(repeat('00', 32), 'hex'), 'e', 'stored'
    from generate_series(1, 10001) n`.execute(bench.database.db)
  await sql`update packs set state = 'deleted', lost_at = hf_now(), deleted_at = hf_now(), condemned_at = hf_now(), condemned_epoch = 7
    where vault_id = ${vault} and pack_no > 5000000000`.execute(bench.database.db)
  await sql`update vaults set gc_epoch = 7 where id = ${vault}`.execute(bench.database.db)
  const start = await nextRun(scene)
  expect([start.gone, start.forget, start.gc_epoch]).toEqual([[], true, 7])
})
