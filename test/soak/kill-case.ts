/** One kill: a backup that is hit, what becomes of it, the backup after it, and all that was promised. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { MINUTE } from '#shared/units.ts'
import { hasEnded } from '../support/instance.ts'
import { runOpen } from '../support/run-open.ts'
import { differences, type Fact, snapshot } from '../support/same-tree.ts'
import type { Seeded } from '../support/seeded.ts'
import { eventually } from '../support/wait.ts'
import type { CaseResult } from './check.ts'
import { garbageIn, knownPacks } from './kill-agent.ts'
import { chooseMoment, isOver, look, type Look, phaseOf, until } from './kill-phase.ts'
import { probe } from './kill-probe.ts'
import { type VaultView, viewVault } from './kill-vault.ts'
import type { KillWorld, Victim } from './kill-world.ts'

export type Committed = { readonly backup: string; readonly facts: ReadonlyMap<string, Fact> }

/** A world, what was backed up in it, and how it is looked at. */
export type Scene = {
  readonly world: KillWorld
  readonly vault: VaultView
  readonly folder: string
  readonly committed: Committed[]
}

export const openScene = (world: KillWorld, folder: string): Scene => ({
  world,
  folder,
  vault: viewVault(world),
  committed: [],
})

const FINAL_GOOD = 'completed'
const LONGEST_RUN = MINUTE

/** Restored with the recovery kit alone. */
export const restoreProblems = async (
  { world, folder }: Pick<Scene, 'world' | 'folder'>,
  { backup, facts }: Committed,
): Promise<readonly string[]> => {
  const target = join(folder, 'restored')
  try {
    const which = ['--identity', world.instance.kit, '--backup', backup, '--json']
    const { exit, out } = await runOpen([world.bucket, ...which, 'restore', target])
    if (exit !== 0)
      return [`backup ${backup} is not restored: exit code ${exit}: ${out.slice(-300)}`]
    return differences(facts, snapshot(join(target, world.source.folder)))
      .slice(0, 5)
      .map((text) => `backup ${backup}: ${text}`)
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
}

const begin = async ({ world }: Scene): Promise<string> => {
  const answer = await world.instance.call('POST', `/v1/jobs/${world.job}/backups`, {})
  return String((answer['data'] as Record<string, unknown>)['id'])
}

const endOf = async ({ world }: Scene, backup: string): Promise<Look> =>
  eventually(
    `the end of backup ${backup}`,
    async () => {
      const seen = await look(world.database, backup)
      return seen !== null && isOver(seen) && seen
    },
    LONGEST_RUN,
  )

/** Numbers of packs that were granted so far. */
const grantedSoFar = async ({ vault }: Scene): Promise<ReadonlySet<number>> =>
  new Set((await vault.packs()).map(({ pack_no }) => pack_no))

/** Everything that was confirmed to the agent then is there, so nothing of it may be among what was put since. */
type Before = { readonly known: ReadonlySet<number>; readonly granted: ReadonlySet<number> }

const before = async (scene: Scene): Promise<Before> => ({
  known: knownPacks(scene.world.state),
  granted: await grantedSoFar(scene),
})

/** Before the record is granted the agent has waited for the confirmation of everything else: it must not forget it. */
const forgotten = async (
  { vault }: Scene,
  { known }: Before,
  [backup, died]: readonly [string, Look],
): Promise<readonly string[]> => {
  if (!['record', 'finish'].includes(phaseOf(died))) return []
  const packs = await vault.packs()
  return packs
    .filter((pack) => pack.granted_by === backup && pack.state === 'stored')
    .filter(({ pack_no }) => !known.has(pack_no))
    .map(({ pack_no }) => `the agent did not know that pack ${pack_no} was confirmed`)
}

const sentAgain = async ({ vault }: Scene, { known, granted }: Before): Promise<string[]> => {
  const seen = new Map<string, number>()
  const found: string[] = []
  const all = await vault.packs()
  const old = all.filter(({ pack_no }) => known.has(pack_no))
  const fresh = all.filter(({ pack_no }) => !granted.has(pack_no))
  for (const { object_key, pack_no } of [...old, ...fresh])
    for (const id of vault.ids(object_key) ?? []) {
      const first = seen.get(id)
      if (first === undefined) seen.set(id, pack_no)
      else if (!granted.has(pack_no))
        found.push(`blob ${id} of pack ${first} was sent again in pack ${pack_no}`)
    }
  return found.slice(0, 5)
}

type Hit = {
  readonly victim: Victim
  readonly signal: NodeJS.Signals
  /** How long the victim stays away. */
  readonly away: number
}

const LONGEST_AWAY = 600

const chooseHit = (victim: Victim, chance: Seeded): Hit => ({
  victim,
  signal: victim === 'control-plane' && chance.chance(0.3) ? 'SIGTERM' : 'SIGKILL',
  away: chance.below(LONGEST_AWAY),
})

/** Looks while the victim is dead; `null` where it is the database that would be asked. */
type Death = {
  readonly died: Look | null
  readonly earlier: Before | null
  /** How often the control plane said that it has no database. */
  readonly refused: number
}

const strike = async (
  scene: Scene,
  { victim, signal, away }: Hit,
  backup: string,
): Promise<Death & { readonly violations: readonly string[] }> => {
  const { world } = scene
  const mortal = world.victims[victim]
  const { controlPlane } = world.instance
  if (victim !== 'database') {
    await mortal.end(signal)
    const died = await look(world.database, backup)
    // Of a dead agent nothing but its files counts; one that lives knows what it has sent.
    const earlier = victim === 'agent' ? await before(scene) : null
    await sleep(away)
    await mortal.revive()
    return { died, earlier, refused: 0, violations: [] }
  }
  const asking = probe(world.instance)
  await mortal.end(signal)
  await sleep(away)
  await mortal.revive()
  await eventually('the control plane to be ready', async () => {
    const response = await fetch(`${world.instance.url}/readyz`).catch(() => null)
    return response?.status === 200 || hasEnded(controlPlane)
  })
  const { unavailable: refused, violations } = await asking.stop()
  const ended = hasEnded(controlPlane) ? ['the control plane ended with its database'] : []
  return { died: null, earlier: null, refused, violations: [...ended, ...violations] }
}

/** How a run may end whose victim was hit in this phase. */
const outcomeProblems = (
  { victim, signal }: Hit,
  { world }: Scene,
  end: Look,
): readonly string[] => {
  const said = `${end.status} ${end.code ?? ''}`
  if (end.status === FINAL_GOOD) return []
  const isAgentGone = victim === 'agent' && end.code === 'RUN_LOST'
  // `up` that is told to stop takes its agent with it.
  const isStopped = world.flavour === 'up' && signal === 'SIGTERM' && end.code === 'AGENT_STOPPED'
  if (end.status === 'failed' && (isAgentGone || isStopped)) return []
  return [`the run that was hit ended as ${said}`]
}

const openRuns = async ({ world }: Scene): Promise<readonly string[]> => {
  const { rows } = await sql<{ id: string; status: string }>`
    select id, status from backups where status in ('pending', 'running')`.execute(
    world.database.db,
  )
  return rows.map(({ id, status }) => `backup ${id} is still ${status}`)
}

const checkAll = async (
  scene: Scene,
  chance: Seeded,
  [earlier, fresh]: readonly [Before, readonly Committed[]],
): Promise<readonly string[]> => {
  const { vault, committed } = scene
  const found: string[] = [...(await openRuns(scene))]
  found.push(...(await vault.disagreements()))
  for (const { backup } of fresh) found.push(...(await vault.unheld(backup)))
  found.push(...(await sentAgain(scene, earlier)))
  found.push(...garbageIn(scene.world.state))
  const older = committed.filter((one) => !fresh.slice(-1).includes(one))
  for (const one of [...fresh.slice(-1), ...(older.length > 0 ? [chance.pick(older)] : [])])
    found.push(...(await restoreProblems(scene, one)))
  return found
}

export const runCase = async (
  scene: Scene,
  { victim, turn }: { readonly victim: Victim; readonly turn: number },
  chance: Seeded,
): Promise<CaseResult> => {
  const { world } = scene
  const started = performance.now()
  const hit = chooseHit(victim, chance.fork('hit'))
  const moment = chooseMoment(chance.fork('moment'), turn)
  world.source.change(chance.fork('change'))
  const facts = snapshot(world.source.folder)
  const atStart = await before(scene)
  const backup = await begin(scene)
  const seen = await until(world.database, backup, moment)
  const death = await strike(scene, hit, backup)
  const died = death.died ?? seen
  const earlier = death.earlier ?? atStart
  const found: string[] = [...death.violations]
  if (victim === 'agent') found.push(...(await forgotten(scene, earlier, [backup, died])))
  const end = await endOf(scene, backup)
  found.push(...outcomeProblems(hit, scene, end))
  const fresh: Committed[] = []
  if (end.status === FINAL_GOOD) fresh.push({ backup, facts })
  world.source.touch(chance.fork('touch'))
  const next = await begin(scene)
  const after = await endOf(scene, next)
  if (after.status === FINAL_GOOD)
    fresh.push({ backup: next, facts: snapshot(world.source.folder) })
  else found.push(`the next run ended as ${after.status} ${after.code ?? ''}`)
  scene.committed.push(...fresh)
  found.push(...(await checkAll(scene, chance.fork('older'), [earlier, fresh])))
  return {
    kind: `${victim} ${phaseOf(died)}`,
    violations: found,
    facts: {
      victim: `${victim} (${world.flavour}, ${hit.signal})`,
      aimed: moment.phase,
      phase: phaseOf(died),
      confirmed: died.packs,
      known: earlier.known.size - atStart.known.size,
      refused: death.refused,
      run: end.code ?? end.status,
      next: after.code ?? after.status,
      ms: Math.round(performance.now() - started),
    },
  }
}
