/** A vault in the middle of its life, and who acts on it: a run, a person, collections, and time. */
import { type Kysely, sql } from 'kysely'
import { type Run, step } from '#server/core/backup-machine.ts'
import type { Caller } from '#server/core/caller.ts'
import { planIntervals } from '#server/core/commit.ts'
import { commitsIn } from '#server/io/db/commits/commits.ts'
import { collectionsIn } from '#server/io/db/deletion/collections.ts'
import { deletionIn } from '#server/io/db/deletion/deletion.ts'
import { brief } from '#server/io/db/runs/brief.ts'
import type { Schema } from '#server/io/db/schema.ts'
import type { CommitOutcome } from '#server/ports.ts'
import type { BackupId, JobId, ServerId, VaultId } from '#shared/ids.ts'
import { HOUR } from '#shared/units.ts'
import { NO_COUNTS } from './agent-plane.ts'
import { id, type World } from './agent-world.ts'
import type { TestDatabase } from './database-template.ts'
import type { Actor, Outcome, Scene } from './interleaving.ts'

/** Used by the parent; left by a run that failed long ago; stored by the run that commits. */
export const OF_PARENT = 1
export const LEFT_OVER = 2
export const OF_RUN = 3

export type Place = {
  readonly world: World
  readonly database: TestDatabase
  readonly server: ServerId
  readonly job: JobId
  readonly vault: VaultId
  readonly parent: BackupId
  readonly failed: BackupId
  readonly run: BackupId
  readonly caller: Caller
}

export type Start = {
  /** The parent was marked before. */
  readonly isParentDeleted?: boolean
  /** Condemned at epoch 1 before anybody acts: a run that is told of nothing since holds floor 1. */
  readonly condemned?: readonly number[]
  /** Not begun yet: without a vault and a floor. */
  readonly isRunWaiting?: boolean
}

const NOON = new Date('2026-03-01T12:00:00Z')

const insertBackups = async (at: Place, start: Start): Promise<void> => {
  const { world, parent, failed, run, job, server, vault } = at
  const key = (backup: string): string => `vaults/${vault}/backups/${backup}.age`
  const common = sql`${world.organization}::uuid, ${job}::uuid, 1, ${server}::uuid`
  const floor = (start.condemned ?? []).length > 0 ? 1 : 0
  await sql`
    insert into backups (org_id, job_id, job_version, server_id, id, vault_id, name, status, trigger, sequence, record_key,
      record_sha256, started_at, completed_at, deleted_at, gc_floor, lease_epoch, deadline) values
    (${common}, ${parent}, ${vault}, 'parent', 'completed', 'manual', 1, ${key(parent)}, sha256('r'), hf_now(), hf_now(),
      ${start.isParentDeleted === true ? NOON : null}, 0, 1, null),
    (${common}, ${failed}, ${vault}, 'failed', 'failed', 'manual', null, null, null, hf_now(), hf_now() - interval '99 days',
      null, 0, 1, null),
    (${common}, ${run}, ${start.isRunWaiting === true ? null : vault}, 'run', 'running', 'manual', null, null, null, hf_now(),
      null, null, ${start.isRunWaiting === true ? null : floor}, 1, hf_now() + interval '99 days')`.execute(
    world.database.db,
  )
  await sql`
    insert into vault_objects (vault_id, object_key, org_id, class, no, size, sha256, etag, granted_by, stored_at)
    select ${vault}, k.key, ${world.organization}, 'record', k.no, 9, sha256('x'), 'etag', k.of, hf_now()
    from (values (${key(parent)}, 1, ${parent}::uuid), (${key(run)}, 2, ${run}::uuid)) as k(key, no, of)`.execute(
    world.database.db,
  )
}

const insertPacks = async (at: Place, { condemned = [] }: Start): Promise<void> => {
  const { world, vault, job, parent, failed, run } = at
  const { db } = world.database
  await sql`
    insert into packs (vault_id, pack_no, org_id, class, object_key, size, sha256, etag, state, granted_by, stored_at,
      condemned_at, condemned_epoch)
    select ${vault}, k.no, ${world.organization}, 'pack', 'pack ' || k.no, 100, sha256('x'), 'etag',
      case when k.gone then 'condemned' else 'stored' end, k.of, hf_now(),
      case when k.gone then hf_now() end, case when k.gone then 1 end
    from (select v.no, v.of, v.no = any(${[...condemned]}::bigint[]) as gone from (values
      (${OF_PARENT}::bigint, ${parent}::uuid), (${LEFT_OVER}, ${failed}), (${OF_RUN}, ${run})) as v(no, of)) k`.execute(
    db,
  )
  await sql`
    insert into pack_refs (vault_id, pack_no, job_id, from_seq, live_bytes, org_id)
    values (${vault}, ${OF_PARENT}, ${job}, 1, 50, ${world.organization})`.execute(db)
  await sql`
    insert into job_heads (vault_id, job_id, org_id, sequence, backup_id, record_sha256)
    values (${vault}, ${job}, ${world.organization}, 1, ${parent}, sha256('x'))`.execute(db)
  if (condemned.length > 0)
    await sql`update vaults set gc_epoch = 1 where id = ${vault}`.execute(db)
}

/** The same in every world but for its ids; the clock stands at noon. */
export const placeIn = async (
  [world, database]: readonly [World, TestDatabase],
  start: Start,
): Promise<Place> => {
  await database.freezeClock(NOON)
  const server = await world.addServer()
  const job = await world.addJob(server)
  const at: Place = {
    world,
    database,
    server,
    job,
    vault: id<'vault'>(),
    parent: id<'backup'>(),
    failed: id<'backup'>(),
    run: id<'backup'>(),
    caller: {
      organization: world.organization,
      project: null,
      token: id<'token'>(),
      name: 'test',
      scopes: ['delete'],
      expiresAt: null,
    },
  }
  const set = { content: ['age1'], recovery: ['age2'], list: ['age3'] }
  await sql`
    insert into vaults (id, org_id, server_id, storage_id, encryption_key_id, list_recipient, sealed_list_identity, recipients,
      genesis, genesis_fingerprint, genesis_key)
    values (${at.vault}, ${world.organization}, ${server}, ${world.storage}, ${world.key}, 'age3', '\\x00', ${set}::jsonb,
      '\\x00', sha256('x'), 'genesis')`.execute(database.db)
  await insertBackups(at, start)
  await insertPacks(at, start)
  return at
}

const commitOf = async (
  db: Kysely<Schema>,
  { run, vault }: Place,
  live: ReadonlyMap<number, number>,
): Promise<CommitOutcome> => {
  const decide = (before: Run) => step(before, { kind: 'finished', epoch: 1, status: 'completed' })
  const finish = {
    counts: NO_COUNTS,
    bytes_source: 1,
    bytes_new: 1,
    bytes_stored: 1,
    error_count: 0,
    errors: [],
  }
  const how = { finish, record: `vaults/${vault}/backups/${run}.age`, decide, plan: planIntervals }
  return commitsIn(db).commit(run, { kind: 'changes', live }, how)
}

/** The run was told of nothing: it builds upon its parent, and uses what was left over. */
export const committer = (at: Place): Actor => ({
  name: 'commit',
  run: async (db) =>
    commitOf(
      db,
      at,
      new Map([
        [LEFT_OVER, 20],
        [OF_RUN, 30],
      ]),
    ),
})

/** From its beginning: what it is told is gone, it does not use. */
export const runner = (at: Place): Actor => ({
  name: 'run',
  run: async (db) => {
    const { gone } = await brief(db, at.run, at.vault)
    const live = new Map([[OF_RUN, 30]])
    if (gone.includes(OF_PARENT)) live.set(OF_PARENT, 0)
    if (!gone.includes(LEFT_OVER)) live.set(LEFT_OVER, 20)
    return commitOf(db, at, live)
  },
})

const deletion = (db: Kysely<Schema>) =>
  deletionIn(db, {
    makeId: () => id<'audit entry'>(),
    backups: { get: async () => Promise.resolve(null) },
  })

export const deleter = ({ caller, parent }: Place): Actor => ({
  name: 'delete',
  run: async (db) => deletion(db).remove(caller, parent),
})

export const undeleter = ({ caller, parent }: Place): Actor => ({
  name: 'undelete',
  run: async (db) => {
    await deletion(db).restore(caller, parent)
    return 'back'
  },
})

/** Longer than the grace period. */
const pass = async (db: Kysely<Schema>): Promise<void> => {
  await sql`update test_clock set shift = shift + interval '73 hours'`.execute(db)
}

export const time: Actor = { name: 'time', run: pass }

/** Two collections, and between them the grace period. */
export const patient = ({ vault }: Place): Actor => ({
  name: 'gc',
  run: async (db) => {
    const collections = collectionsIn(db)
    await collections.condemn(vault, 0)
    await pass(db)
    await collections.remove(vault, 0)
  },
})

export const purger = ({ vault }: Place): Actor => ({
  name: 'purge',
  run: async (db) => collectionsIn(db).purge(vault),
})

export const collector = ({ vault }: Place, name = 'gc'): Actor => ({
  name,
  run: async (db) => {
    const collections = collectionsIn(db)
    await collections.condemn(vault, 0)
    await collections.remove(vault, 0)
  },
})

const committed = async ({ database, vault, job }: Place): Promise<string> => {
  const { rows } = await sql<{ state: unknown }>`
    select jsonb_build_array(
      (select gc_epoch from vaults where id = ${vault}),
      (select jsonb_agg(jsonb_build_array(pack_no, state, condemned_epoch, condemned_at) order by pack_no)
        from packs where vault_id = ${vault}),
      (select jsonb_agg(jsonb_build_array(pack_no, from_seq, to_seq, live_bytes) order by pack_no, from_seq)
        from pack_refs where vault_id = ${vault}),
      (select jsonb_agg(jsonb_build_array(name, status, sequence, gc_floor, deleted_at, purged_at) order by name)
        from backups where job_id = ${job}),
      (select jsonb_agg(object_key order by object_key) from removals where vault_id = ${vault} and object_key like 'pack%'),
      (select shift::text from test_clock)) as state`.execute(database.db)
  return JSON.stringify(rows[0]?.state)
}

type PackRow = { pack_no: number; state: string; removals: number }
type Used = { name: string; pack_no: number; state: string }

const packsIn = async ({ database, vault }: Place): Promise<readonly PackRow[]> => {
  const { rows } = await sql<PackRow>`
    select pack_no, state, (select count(*) from removals r where r.vault_id = p.vault_id
      and r.object_key = p.object_key) as removals
    from packs p where vault_id = ${vault} order by pack_no`.execute(database.db)
  return rows
}

/** What each backup that is kept uses, as its intervals say. */
const usedIn = async ({ database, vault }: Place): Promise<readonly Used[]> => {
  const { rows } = await sql<Used>`
    select b.name, p.pack_no, p.state from backups b
    join pack_refs r on r.vault_id = b.vault_id and r.job_id = b.job_id
      and b.sequence >= r.from_seq and (r.to_seq is null or b.sequence < r.to_seq)
    join packs p on p.vault_id = r.vault_id and p.pack_no = r.pack_no
    where b.vault_id = ${vault} and b.deleted_at is null`.execute(database.db)
  return rows
}

const brokenIn = async (at: Place, when: string): Promise<string[]> =>
  (await usedIn(at))
    .filter(({ state }) => state === 'deleted' || state === 'granted')
    .map(
      ({ name, pack_no, state }) => `${when}: ${name} is kept and needs pack ${pack_no}, ${state}`,
    )

/** Everything has ended; time passes, and collections come as they do. */
const settle = async (at: Place): Promise<void> => {
  const { db } = at.database
  await sql`
    update backups set status = 'failed', completed_at = hf_now() where id = ${at.run} and status = 'running'`.execute(
    db,
  )
  const collections = collectionsIn(db)
  for (let n = 0; n < 4; n += 1) {
    await at.database.advanceClock(73 * HOUR)
    await collections.purge(at.vault)
    await collections.condemn(at.vault, 0)
    await collections.remove(at.vault, 0)
  }
}

/** What the run that was committed needs, whatever its intervals say. */
const missedBy = async (at: Place, outcomes: ReadonlyMap<string, Outcome>): Promise<string[]> => {
  const outcome = outcomes.get('commit') ?? outcomes.get('run')
  if (outcome === undefined || 'error' in outcome) return []
  const value = outcome.value as CommitOutcome
  // Below the floor that the run holds nothing goes that it was not told of.
  if (value.done !== 'committed') return [`the run was ${value.done}: ${JSON.stringify(value)}`]
  if (!outcomes.has('commit')) return []
  const used = (await usedIn(at)).filter(({ name }) => name === 'run').map(({ pack_no }) => pack_no)
  return [OF_PARENT, LEFT_OVER, OF_RUN]
    .filter((no) => !used.includes(no))
    .map((no) => `the run needs pack ${no}, and no interval says so`)
}

const check =
  (at: Place): Scene['check'] =>
  async (outcomes) => {
    const failed = [...outcomes].flatMap(([name, outcome]) =>
      'error' in outcome && !outcome.error.includes('could be brought back')
        ? [`${name} failed: ${outcome.error}`]
        : [],
    )
    const found = [...failed, ...(await missedBy(at, outcomes)), ...(await brokenIn(at, 'then'))]
    await settle(at)
    const needed = new Set((await usedIn(at)).map(({ pack_no }) => pack_no))
    const left = (await packsIn(at)).flatMap(({ pack_no, state, removals }) => {
      if (needed.has(pack_no))
        return removals > 0 ? [`pack ${pack_no} is needed, and to be removed`] : []
      return state === 'deleted' && removals === 1 ? [] : [`pack ${pack_no} stays, ${state}`]
    })
    return [...found, ...left, ...(await brokenIn(at, 'in the end'))]
  }

export const sceneAt = (at: Place, actors: readonly Actor[]): Scene => ({
  actors,
  committed: async () => committed(at),
  ids: [at.vault, at.job, at.server, at.parent, at.failed, at.run],
  check: check(at),
})

/**
 * What commutes with every statement of the others: tables that only one program touches or nobody decides by, and writes to
 * rows that the transaction has locked before. Nobody sees those before its commit, nor waits for them more than for the lock.
 */
const PRIVATE = [
  /\b(backup_events|backup_logs|audit_log|commit_pages|collections)\b/,
  /^\s*(insert into|update|select .* from) "(job_heads|vault_objects)"/,
  /^\s*select "org_id", "vault_id", "job_id" from "backups"/,
  /^\s*insert into pack_refs\b/,
  /^\s*update packs set state = '(stored|condemned)'/,
  /^\s*(select max\(pack_no\)|update vaults set gc_epoch|with gone as \(\s*update packs)/,
  /^\s*update "backups" set/,
  /^\s*update backups set deleted_at/,
]

export const isPrivate = (text: string): boolean => PRIVATE.some((pattern) => pattern.test(text))
