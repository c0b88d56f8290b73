/** One kill in the middle of everything: backups, deletions, collections, verifications and restores at once. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { SECOND } from '#shared/units.ts'
import { differences, type Fact, snapshot } from '../support/same-tree.ts'
import type { Seeded } from '../support/seeded.ts'
import { checkCollected, checkInvariants } from './across-invariants.ts'
import { chooseMoment, waitFor } from './across-moment.ts'
import { begin, type Done, type Move, MOVES } from './across-moves.ts'
import {
  type AcrossScene,
  ask,
  CLAIMS_OVER,
  GRACE_OVER,
  keptOf,
  now,
  pass,
  quiet,
  type Restoring,
} from './across-scene.ts'
import type { CaseResult } from './check.ts'
import type { Victim } from './kill-world.ts'

type Facts = ReadonlyMap<string, Fact>
type Killed = { readonly victim: Victim; readonly turn: number }

const MORE_MOVES = 5
/** Each is restored after each case. */
const MOST_KEPT = 4
const LONGEST_AWAY = 400
/** Each so many cases time passes until nothing is left that nobody needs. */
const COLLECTED_EVERY = 4

const chooseMoves = (chance: Seeded, first: Move, kept: number): readonly Move[] => {
  // Time passes in the middle of what is done, but not always.
  const others = MOVES.filter((move) => move !== 'time')
  const more = Array.from({ length: 1 + chance.below(MORE_MOVES) }, () => chance.pick(others))
  const deletions = Array.from({ length: Math.max(0, kept - MOST_KEPT) }, () => 'delete' as const)
  return [first, ...more, ...deletions, ...(chance.chance(0.25) ? (['time'] as const) : [])]
}

type RunRow = { readonly id: string; readonly status: string; readonly code: string | null }

const isForgiven = ({ status, code }: RunRow, victim: Victim): boolean =>
  status === 'failed' && victim === 'agent' && code === 'RUN_LOST'

/** Runs that have not been looked at yet. */
const newRuns = async ({ world, seen }: AcrossScene): Promise<readonly RunRow[]> => {
  const { rows } = await sql<RunRow>`
    select id, status, error ->> 'code' as code from backups order by id`.execute(world.database.db)
  return rows.filter(({ id }) => !seen.has(id))
}

/** What was committed since the last look had this source. Answers what ended as it must not. */
const learn = async (
  scene: AcrossScene,
  facts: Facts,
  victim: Victim | null,
): Promise<readonly string[]> => {
  const found: string[] = []
  for (const run of await newRuns(scene)) {
    scene.seen.add(run.id)
    if (run.status === 'completed') scene.known.push({ backup: run.id, facts, deletedAt: null })
    else if (victim === null || !isForgiven(run, victim))
      found.push(`backup ${run.id} ended as ${run.status} ${run.code ?? ''}`)
  }
  return found
}

const restoredProblems = async (
  { world }: AcrossScene,
  { id, of, target }: Restoring,
  victim: Victim,
): Promise<readonly string[]> => {
  const { rows } = await sql<RunRow>`
    select id, status, error ->> 'code' as code from restores where id = ${id}`.execute(
    world.database.db,
  )
  const [row] = rows
  if (row === undefined) return [`restore ${id} is not there`]
  try {
    if (row.status !== 'completed')
      return isForgiven(row, victim)
        ? []
        : [`restore ${id} ended as ${row.status} ${row.code ?? ''}`]
    return differences(of.facts, snapshot(join(target, world.source.folder)))
      .slice(0, 5)
      .map((text) => `restore ${id} is shown as done: ${text}`)
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
}

const verifiedProblems = async (
  { world }: AcrossScene,
  ids: readonly string[],
): Promise<readonly string[]> => {
  const { rows } = await sql<{ id: string; said: string }>`
    select id, status || ' ' || coalesce(result ->> 'status', error ->> 'code', '') as said
    from verifications where id = any(${[...ids]}::uuid[])`.execute(world.database.db)
  return rows
    .filter(({ said }) => said !== 'completed passed')
    .map(({ id, said }) => `verification ${id} of a good backup ended as ${said}`)
}

const strike = async (scene: AcrossScene, victim: Victim, chance: Seeded): Promise<void> => {
  const mortal = scene.world.victims[victim]
  await mortal.end('SIGKILL')
  await sleep(chance.below(LONGEST_AWAY))
  await mortal.revive()
  // Claims of a dead control plane run out at once.
  if (victim !== 'agent') await pass(scene, CLAIMS_OVER)
}

/** A backup with nothing in its way. */
const plainBackup = async (scene: AcrossScene, chance: Seeded): Promise<readonly string[]> => {
  const path = `/v1/jobs/${chance.pick(scene.jobs)}/backups`
  const { status, code } = await ask(scene, 'POST', path, {})
  if (status !== 202) return [`the next backup was answered ${status} ${code}`]
  return quiet(scene)
}

const doAll = async (
  scene: AcrossScene,
  { victim, turn }: Killed,
  chance: Seeded,
): Promise<{ readonly done: Done; readonly aim: string; readonly hit: boolean }> => {
  const moment = chooseMoment(chance.fork('moment'), turn)
  const moves = chooseMoves(chance.fork('moves'), moment.move, keptOf(scene).length)
  const { done, answered } = begin(scene, moves, chance.fork('begin'))
  const hit = await waitFor(scene, moment)
  await strike(scene, victim, chance.fork('strike'))
  await answered
  return { done, aim: moment.aim, hit }
}

/** The state at the beginning is that of the seed alone, but for what the last cases left. */
const prepare = async (scene: AcrossScene, chance: Seeded): Promise<Facts> => {
  const { source } = scene.world
  if (chance.chance(0.8)) source.change(chance.fork('change'))
  if (chance.chance(0.5)) await pass(scene, GRACE_OVER)
  return snapshot(source.folder)
}

export const runAcross = async (
  scene: AcrossScene,
  killed: Killed,
  chance: Seeded,
): Promise<CaseResult> => {
  const started = performance.now()
  const { victim, turn } = killed
  const facts = await prepare(scene, chance.fork('prepare'))
  const { done, aim, hit } = await doAll(scene, killed, chance)
  const found = [...done.violations, ...(await quiet(scene))]
  found.push(...(await learn(scene, facts, victim)))
  for (const one of done.restores) found.push(...(await restoredProblems(scene, one, victim)))
  found.push(...(await verifiedProblems(scene, done.verifications)))
  scene.world.source.touch(chance.fork('touch'))
  const after = snapshot(scene.world.source.folder)
  found.push(...(await plainBackup(scene, chance.fork('next'))))
  found.push(...(await learn(scene, after, null)))
  const isCollected = turn % COLLECTED_EVERY === COLLECTED_EVERY - 1
  found.push(...(await (isCollected ? checkCollected(scene) : checkInvariants(scene))))
  return {
    kind: `${victim} ${aim}`,
    violations: found,
    facts: {
      victim: `${victim} (${scene.world.flavour})`,
      aim: hit ? aim : `${aim} (missed)`,
      moves: done.moves.join(' '),
      kept: keptOf(scene).length,
      gone: scene.known.length - keptOf(scene).length,
      collected: isCollected ? 'yes' : 'no',
      days: Math.round(((await now(scene)) - Date.now()) / (86_400 * SECOND)),
      ms: Math.round(performance.now() - started),
    },
  }
}

/** Of a world as it was started: with one backup, in which nothing was killed. */
export const startAcross = async (scene: AcrossScene): Promise<void> => {
  const found = await learn(scene, snapshot(scene.world.source.folder), null)
  if (found.length > 0) throw new Error(found.join('; '))
}
