/**
 * 100 backups with 1% change each through the real commit, most of them deleted, collected, and more backups: nothing is
 * downloaded, and the vault takes little more than what lives in it.
 */
import { deletionIn } from '#server/io/db/deletion/deletion.ts'
import type { BackupId, VaultId } from '#shared/ids.ts'
import { DAY, MINUTE } from '#shared/units.ts'
import { sql } from 'kysely'
import { id } from '../support/agent-world.ts'
import { collectAll } from '../support/collecting.ts'
import { type Bench, startBench } from '../support/commit-bench.ts'
import { stopDatabases } from '../support/database-template.ts'
import type { Seeded } from '../support/seeded.ts'
import type { CaseResult, SoakCheck } from './check.ts'
import { backUp, BLOB_BYTES, BLOBS, type Model, newModel } from './gc-vault.ts'

const KEEP = 5
const MOST_SPACE = 1.3

type Scene = {
  readonly bench: Bench
  readonly model: Model
  readonly job: Awaited<ReturnType<Bench['world']['addJob']>>
  readonly chance: Seeded
  /** Kept backups, oldest first. */
  readonly kept: BackupId[]
}

const remove = async ({ bench, kept }: Scene, count: number): Promise<void> => {
  const deletion = deletionIn(bench.database.db, {
    makeId: () => id<'audit entry'>(),
    backups: { get: async () => Promise.resolve(null) },
  })
  const caller = {
    organization: bench.world.organization,
    project: null,
    token: id<'token'>(),
    name: 'soak',
    scopes: ['delete' as const],
    expiresAt: null,
  }
  for (const one of kept.splice(0, count)) await deletion.remove(caller, one)
}

/** A day: a backup, the oldest goes as a daily retention of `KEEP` would have it, a collection. */
const day = async (scene: Scene, isKept: boolean): Promise<void> => {
  const { bench, job, model, chance, kept } = scene
  const changed = kept.length === 0 ? 0 : BLOBS / 100
  kept.push(await backUp(bench, [job, model], { chance, changed }))
  if (isKept) return
  await remove(scene, kept.length - KEEP)
  for (const [place, one] of kept.slice(0, -1).entries())
    await sql`
      update backups set expires_at = hf_now() + ${place + 1} * interval '1 day' where id = ${one}`.execute(
      bench.database.db,
    )
  await collectAll(bench.database, bench.parts.stores)
  await bench.database.advanceClock(DAY)
}

type Space = { readonly stored: number; readonly condemned: number }

const spaceIn = async ({ bench }: Scene): Promise<Space> => {
  const { rows } = await sql<Space>`
    select coalesce(sum(size) filter (where state = 'stored'), 0)::bigint as stored,
      coalesce(sum(size) filter (where state = 'condemned'), 0)::bigint as condemned from packs`.execute(
    bench.database.db,
  )
  return rows[0] ?? { stored: 0, condemned: 0 }
}

/** Objects of the bucket against rows: what is there and should not be, and the other way round. */
const wrongIn = async ({ bench }: Scene): Promise<readonly string[]> => {
  const stop = new AbortController().signal
  const store = await bench.parts.stores.open(bench.world.storage)
  const { rows } = await sql<{ vault_id: VaultId; object_key: string }>`
    select vault_id, object_key from packs where state in ('stored', 'condemned')`.execute(
    bench.database.db,
  )
  const vault = rows[0]?.vault_id ?? ''
  const keys = await Array.fromAsync(store.list(`vaults/${vault}/`, stop))
  const there = new Set(keys.filter((key) => /\/(packs|trees)\//.test(key)))
  const known = new Set(rows.map(({ object_key }) => object_key))
  return [
    ...[...there].filter((key) => !known.has(key)).map((key) => `${key} stays in the bucket`),
    ...[...known].filter((key) => !there.has(key)).map((key) => `${key} is not in the bucket`),
  ]
}

/** GETs of objects, as the storage saw them; a list is a GET of the bucket. */
const downloads = ({ bench }: Scene): number =>
  bench.s3.log.filter(
    ({ message, fields }) =>
      message === 's3' &&
      fields['method'] === 'GET' &&
      String(fields['path']).includes('/prefix/vaults/'),
  ).length

const run = async (scene: Scene, backups: number, after: number): Promise<CaseResult> => {
  const begun = performance.now()
  for (let n = 0; n < backups; n += 1) await day(scene, true)
  const before = await spaceIn(scene)
  await remove(scene, backups - KEEP)
  for (let n = 0; n < after; n += 1) await day(scene, false)
  // What is condemned last has its grace period, too.
  const { stored, condemned } = await spaceIn(scene)
  const live = BLOBS * BLOB_BYTES + KEEP * ((BLOBS / 100) * BLOB_BYTES + BLOB_BYTES)
  const ratio = stored / live
  const gets = downloads(scene)
  const violations = [
    ...(gets === 0 ? [] : [`${gets} objects were downloaded`]),
    ...(ratio <= MOST_SPACE ? [] : [`the vault takes ${ratio.toFixed(2)} times what lives in it`]),
    ...(await wrongIn(scene)),
  ]
  return {
    kind: 'deleted most of them',
    violations,
    facts: {
      backups: backups + after,
      bytes_before: before.stored,
      bytes_after: stored,
      bytes_condemned: condemned,
      bytes_live: live,
      space_to_live: Number(ratio.toFixed(3)),
      objects_downloaded: gets,
      seconds: Math.round((performance.now() - begun) / 1000),
    },
  }
}

export const check: SoakCheck = {
  about: 'Deletes most of 100 backups of 1% change each, collects, and backs up again.',
  deadline: 60 * MINUTE,
  options: { backups: '100', after: '12' },
  count: () => 1,
  casesARound: 1,
  round: async (_, chance, __, chosen) => {
    const bench = await startBench()
    return {
      cases: 1,
      run: async () => {
        const job = await bench.world.addJob(bench.agent.server)
        const scene: Scene = { bench, model: newModel(), job, chance, kept: [] }
        return run(scene, Number(chosen['backups']), Number(chosen['after']))
      },
      close: async () => {
        await bench.close()
        await stopDatabases()
      },
    }
  },
}
