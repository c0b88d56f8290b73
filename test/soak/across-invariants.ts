/**
 * What must hold whenever nothing is under way, whatever was killed: each invariant is a function that answers what is
 * wrong. None of them asks the code that writes: bucket, catalog and API are compared with what was asked for.
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { parseKey } from '#shared/format/layout.ts'
import { type AcrossScene, collect, GRACE_OVER, keptOf, pass, quiet } from './across-scene.ts'
import { restoreProblems } from './kill-case.ts'

type Invariant = (scene: AcrossScene) => Promise<readonly string[]>

/** Every object of the bucket below `vaults/`. */
const objectsIn = (scene: AcrossScene): ReadonlySet<string> => {
  const { bucket } = scene.world
  return new Set(
    readdirSync(join(bucket, 'vaults'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(bucket.length + 1)),
  )
}

const restores: Invariant = async (scene) => {
  const found: string[] = []
  for (const known of keptOf(scene)) found.push(...(await restoreProblems(scene, known)))
  return found
}

const nothingMissing: Invariant = async (scene) => {
  const { world, vault } = scene
  const found: string[] = []
  for (const { backup } of keptOf(scene)) {
    for (const [key, size] of await vault.needs(backup)) {
      const path = join(world.bucket, key)
      const problem = !existsSync(path)
        ? 'is not there'
        : statSync(path).size === size
          ? null
          : 'is not as long as the record says'
      if (problem !== null) found.push(`backup ${backup} needs ${key}, which ${problem}`)
    }
    found.push(...(await vault.unheld(backup)))
  }
  return found
}

type Row = { readonly key: string; readonly what: string }

/** Everything that the catalog says is there, and what it is about to remove. */
const rowsIn = async ({ world }: AcrossScene): Promise<readonly Row[]> => {
  const { rows } = await sql<Row>`
    select object_key as key, state as what from packs
    union all
    select object_key, case when stored_at is null then 'granted' else 'stored' end from vault_objects
    union all
    select object_key, 'removed' from removals`.execute(world.database.db)
  return rows
}

const agreement: Invariant = async (scene) => {
  const objects = objectsIn(scene)
  const rows = await rowsIn(scene)
  const known = new Set(rows.filter(({ what }) => what !== 'deleted').map(({ key }) => key))
  return [
    ...(await scene.vault.disagreements()),
    ...rows
      .filter(({ key, what }) => (what === 'stored' || what === 'condemned') && !objects.has(key))
      .map(({ key, what }) => `${key} is ${what} in the catalog and not in the bucket`),
    ...[...objects]
      .filter((key) => !known.has(key) && parseKey(key)?.kind !== 'hint')
      .map((key) => `${key} is in the bucket and no row knows it`),
  ]
}

type Shown = { readonly id: string; readonly status: string }

const shownIn = async ({ world }: AcrossScene): Promise<readonly Shown[]> => {
  const shown: Shown[] = []
  for (let offset = 0; ; offset += 100) {
    const page = (await world.instance.call('GET', `/v1/backups?limit=100&offset=${offset}`))[
      'data'
    ] as Shown[]
    shown.push(...page)
    if (page.length < 100) return shown
  }
}

const GOOD = ['completed', 'partial']

/** What is shown as a backup is one, and every backup is shown. */
const honest: Invariant = async (scene) => {
  const shown = await shownIn(scene)
  const good = new Set(shown.filter(({ status }) => GOOD.includes(status)).map(({ id }) => id))
  const kept = new Set(keptOf(scene).map(({ backup }) => backup))
  const { rows } = await sql<{ problem: string }>`
    select 'backup ' || id || ' is ' || status || ' and has the number ' || sequence as problem
    from backups where status not in ('completed', 'partial') and sequence is not null
    union all
    select 'backup ' || b.id || ' is ' || b.status || ' without a record that is stored'
    from backups b where b.status in ('completed', 'partial') and b.purged_at is null and not exists (
      select 1 from vault_objects o where o.object_key = b.record_key and o.stored_at is not null)
    union all
    select 'the head of a job is ' || b.status || ' or not its newest: ' || b.id
    from job_heads h join backups b on b.id = h.backup_id
    where b.status not in ('completed', 'partial') or b.sequence <> h.sequence or h.sequence <> (
      select max(n.sequence) from backups n where n.job_id = h.job_id and n.vault_id = h.vault_id)
    union all
    select 'verification ' || v.id || ' is ' || v.status || ' without a result'
    from verifications v where v.status = 'completed' and v.result is null`.execute(
    scene.world.database.db,
  )
  return [
    ...[...kept].filter((id) => !good.has(id)).map((id) => `backup ${id} is not shown any more`),
    ...[...good].filter((id) => !kept.has(id)).map((id) => `${id} is shown and is no backup`),
    ...rows.map(({ problem }) => problem),
  ]
}

const ALWAYS: Readonly<Record<string, Invariant>> = {
  'every committed backup restores bit for bit': restores,
  'no object that a backup needs is missing': nothingMissing,
  'catalog and bucket agree': agreement,
  'nothing half-done is shown as done': honest,
}

const named = async (
  scene: AcrossScene,
  invariants: Readonly<Record<string, Invariant>>,
): Promise<readonly string[]> => {
  const found: string[] = []
  for (const [name, look] of Object.entries(invariants)) {
    try {
      for (const problem of (await look(scene)).slice(0, 5)) found.push(`${name}: ${problem}`)
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error)
      found.push(`${name}: it could not be looked at: ${stack}`)
    }
  }
  return found
}

export const checkInvariants = async (scene: AcrossScene): Promise<readonly string[]> =>
  named(scene, ALWAYS)

/** Marked; condemned when that is over; removed when its own grace period is over. */
const COLLECTIONS = 3

const leftOver: Invariant = async (scene) => {
  const kept = keptOf(scene)
  const needed = new Set<string>()
  for (const { backup } of kept)
    for (const key of (await scene.vault.needs(backup)).keys()) needed.add(key)
  const { rows } = await sql<{ key: string }>`
    select record_key as key from backups where id = any(${kept.map(({ backup }) => backup)}::uuid[])`.execute(
    scene.world.database.db,
  )
  for (const { key } of rows) needed.add(key)
  return [...objectsIn(scene)]
    .filter((key) => !needed.has(key))
    .filter((key) => !['hint', 'signer', 'key'].includes(parseKey(key)?.kind ?? 'none'))
    .map((key) => `${key} is of no backup and stays`)
}

/** Everything that nobody needs has its time, and collections come as they do; then nothing of it may be left. */
export const checkCollected = async (scene: AcrossScene): Promise<readonly string[]> => {
  const found: string[] = []
  for (let n = 0; n < COLLECTIONS; n += 1) {
    await pass(scene, GRACE_OVER)
    await collect(scene)
    found.push(...(await quiet(scene)))
  }
  if (found.length > 0) return found
  return [
    ...(await named(scene, { 'nothing that nobody needs stays after its grace period': leftOver })),
    ...(await checkInvariants(scene)),
  ]
}
