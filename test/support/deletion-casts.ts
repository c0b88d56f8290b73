/** Who meets whom, and from where: the worlds that every order of is explored. */
import type { World } from './agent-world.ts'
import type { TestDatabase } from './database-template.ts'
import {
  collector,
  committer,
  deleter,
  isPrivate,
  LEFT_OVER,
  OF_PARENT,
  type Place,
  patient,
  placeIn,
  purger,
  runner,
  sceneAt,
  type Start,
  time,
  undeleter,
} from './deletion-scene.ts'
import { type Actor, type Exploration, explore, type Options } from './interleaving.ts'

type Cast = { readonly start: Start; readonly actors: (at: Place) => readonly Actor[] }

export const CASTS = {
  'a commit and a collection': {
    start: { isParentDeleted: true },
    actors: (at) => [patient(at), committer(at)],
  },
  'a run from its beginning and a collection': {
    start: { isParentDeleted: true, isRunWaiting: true },
    actors: (at) => [patient(at), runner(at)],
  },
  'a person who brings a backup back and a collection': {
    start: { isParentDeleted: true, condemned: [OF_PARENT, LEFT_OVER] },
    actors: (at) => [undeleter(at), patient(at)],
  },
  'a commit, a collection, and time that passes anywhere': {
    start: { isParentDeleted: true },
    actors: (at) => [committer(at), collector(at), time],
  },
  'a person who brings a backup back, a collection, and time': {
    start: { isParentDeleted: true, condemned: [OF_PARENT, LEFT_OVER] },
    actors: (at) => [undeleter(at), collector(at), time],
  },
  'a person who brings a backup back, and the end of its grace period': {
    start: { isParentDeleted: true, condemned: [OF_PARENT, LEFT_OVER] },
    actors: (at) => [undeleter(at), purger(at), collector(at), time],
  },
  'a run from its beginning, a collection, and time': {
    start: { isParentDeleted: true, isRunWaiting: true },
    actors: (at) => [runner(at), collector(at), time],
  },
  'a commit, a person who deletes its parent, and a collection': {
    start: {},
    actors: (at) => [committer(at), deleter(at), patient(at)],
  },
  'a commit and two collections': {
    start: { isParentDeleted: true },
    actors: (at) => [committer(at), patient(at), collector(at, 'other gc')],
  },
} as const satisfies Readonly<Record<string, Cast>>

export type CastName = keyof typeof CASTS

/** What a mistake in a statement would look like. */
export const SPOILED = {
  /** A collection does not close the gate behind itself. */
  gate: (text: string) =>
    text.replace(/(select gc_epoch from vaults where id = \$\d+) for update/, '$1'),
  /** Floors do not count. */
  floor: (text: string) =>
    text.replaceAll(
      'p.condemned_epoch <= coalesce(',
      'p.condemned_epoch <= coalesce(p.condemned_epoch, ',
    ),
} as const

export const exploring = async (
  [world, database]: readonly [World, TestDatabase],
  name: CastName,
  options: Omit<Options, 'isPrivate'> = {},
): Promise<Exploration> => {
  const { start, actors }: Cast = CASTS[name]
  return explore(
    database.db,
    async () => {
      const at = await placeIn([world, database], start)
      return sceneAt(at, actors(at))
    },
    { isPrivate, ...options },
  )
}
