/** What is done at once while something is killed: each move asks the control plane, and says what it was answered. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VERIFICATION_LEVELS } from '#shared/api/verifications.ts'
import { HOUR } from '#shared/units.ts'
import type { Seeded } from '../support/seeded.ts'
import {
  type AcrossScene,
  ask,
  collect,
  GRACE_OVER,
  keptOf,
  type Known,
  now,
  pass,
  type Restoring,
} from './across-scene.ts'

export const MOVES = [
  'backup',
  'delete',
  'undelete',
  'collect',
  'verify',
  'restore',
  'time',
] as const
export type Move = (typeof MOVES)[number]

/** What came of the moves of one case. */
export type Done = {
  readonly moves: string[]
  readonly violations: string[]
  readonly restores: Restoring[]
  readonly verifications: string[]
}

type Answered = { readonly status: number; readonly code: string }
type Setting = {
  readonly scene: AcrossScene
  readonly chance: Seeded
  readonly done: Done
  /** No two moves of a case delete and bring back the same backup. */
  readonly kept: Known[]
  readonly gone: Known[]
}

const takeOne = (chance: Seeded, from: Known[]): Known | undefined =>
  from.splice(chance.below(Math.max(1, from.length)), 1)[0]

const unexpected = ({ done }: Setting, what: string, { status, code }: Answered): void => {
  done.violations.push(`${what} was answered ${status} ${code}`)
}
const backUp = async (setting: Setting): Promise<void> => {
  const { scene, chance } = setting
  const answer = await ask(scene, 'POST', `/v1/jobs/${chance.pick(scene.jobs)}/backups`, {})
  // One of the same job runs.
  if (answer.status !== 202 && answer.status !== 409) unexpected(setting, 'a backup', answer)
}

const remove = async (setting: Setting): Promise<void> => {
  const { scene, chance, kept } = setting
  const one = takeOne(chance, kept)
  if (one === undefined) return
  const answer = await ask(scene, 'DELETE', `/v1/backups/${one.backup}`)
  // The answer of the first request may be lost: then the second one finds nothing.
  if (answer.status === 204 || answer.status === 404) one.deletedAt = await now(scene)
  // Somebody reads it.
  else if (answer.status !== 409) unexpected(setting, 'a deletion', answer)
}

const bringBack = async (setting: Setting): Promise<void> => {
  const { scene, chance, gone, done } = setting
  const one = takeOne(chance, gone)
  if (one === undefined) return
  const since = one.deletedAt ?? 0
  const answer = await ask(scene, 'POST', `/v1/backups/${one.backup}/undelete`, {})
  if (answer.status === 200) {
    one.deletedAt = null
    return
  }
  if (answer.status !== 410) unexpected(setting, 'bringing back', answer)
  else if ((await now(scene)) - since < GRACE_OVER - HOUR)
    done.violations.push(`backup ${one.backup} is gone before its grace period is over`)
}

const verify = async (setting: Setting): Promise<void> => {
  const { scene, chance, done } = setting
  const all = keptOf(scene)
  if (all.length === 0) return
  const { backup } = chance.pick(all)
  const level = chance.pick(VERIFICATION_LEVELS)
  const answer = await ask(scene, 'POST', `/v1/backups/${backup}/verify`, { level })
  if (answer.status === 202) done.verifications.push(String(answer.data['id']))
  // It has just been deleted, or is verified already.
  else if (answer.status !== 404 && answer.status !== 409)
    unexpected(setting, 'a verification', answer)
}

const restore = async (setting: Setting): Promise<void> => {
  const { scene, chance, done } = setting
  const all = keptOf(scene)
  if (all.length === 0) return
  const of = chance.pick(all)
  const target = join(scene.folder, `restored-${chance.below(1e9)}`)
  const answer = await ask(scene, 'POST', `/v1/backups/${of.backup}/restore`, {
    compute: { type: 'agent', server_id: scene.server },
    target_path: target,
  })
  if (answer.status === 201) done.restores.push({ id: String(answer.data['id']), of, target })
  else if (answer.status !== 404 && answer.status !== 409) unexpected(setting, 'a restore', answer)
}

const DO: Readonly<Record<Move, (setting: Setting) => Promise<void>>> = {
  backup: backUp,
  delete: remove,
  undelete: bringBack,
  collect: async ({ scene }) => collect(scene),
  verify,
  restore,
  time: async ({ scene }) => pass(scene, GRACE_OVER),
}

/** How long after the first one the last one begins, at most; one of a backup takes about a second. */
const SPREAD = 700

/** Begins them all; the promise is settled when each was answered. */
export const begin = (
  scene: AcrossScene,
  moves: readonly Move[],
  chance: Seeded,
): { readonly done: Done; readonly answered: Promise<void> } => {
  const done: Done = { moves: [...moves], violations: [], restores: [], verifications: [] }
  const kept = [...keptOf(scene)]
  const gone = scene.known.filter(({ deletedAt }) => deletedAt !== null)
  const work = moves.map(async (move, place) => {
    const dice = chance.fork(`${move} ${place}`)
    await sleep(place === 0 ? 0 : dice.below(SPREAD))
    await DO[move]({ scene, chance: dice, done, kept, gone })
  })
  return {
    done,
    answered: Promise.all(work).then(() => undefined),
  }
}
