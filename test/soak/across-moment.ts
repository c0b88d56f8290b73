/** When to kill: in the middle of one of the things that are done at once, as the database has them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Seeded } from '../support/seeded.ts'
import type { Move } from './across-moves.ts'
import type { AcrossScene } from './across-scene.ts'

/** What the database says of everything that is under way. */
type Now = {
  readonly started: boolean
  readonly packs: boolean
  readonly record: boolean
  readonly finish: boolean
  readonly collecting: boolean
  readonly removing: boolean
  readonly restoring: boolean
  readonly verifying: boolean
}

/** The moment, and the move that leads to it. `asked`: at once, while the request is answered. */
const AIMS = [
  ['packs', 'backup'],
  ['collecting', 'collect'],
  ['restoring', 'restore'],
  ['record', 'backup'],
  ['asked', 'delete'],
  ['verifying', 'verify'],
  ['finish', 'backup'],
  ['removing', 'collect'],
  ['started', 'backup'],
  ['asked', 'undelete'],
] as const satisfies readonly (readonly [keyof Now | 'asked', Move])[]

export type Moment = {
  readonly aim: (typeof AIMS)[number][0]
  readonly move: Move
  readonly after: Ms
}

const LONGEST_AFTER = 60

/** Each in turn, so that a few rounds see all of them; the moment itself by chance. */
export const chooseMoment = (chance: Seeded, turn: number): Moment => {
  const [aim, move] = AIMS[turn % AIMS.length] ?? AIMS[0]
  return { aim, move, after: chance.below(LONGEST_AFTER) }
}

const look = async ({ world }: AcrossScene): Promise<Now> => {
  const { rows } = await sql<Now>`
    with runs as (select * from backups where status = 'running')
    select exists (select from runs) as started,
      exists (select from runs r join packs p on p.granted_by = r.id where p.state = 'stored') as packs,
      exists (select from runs r join vault_objects o on o.granted_by = r.id where o.class = 'record') as record,
      exists (select from runs where finish is not null) as finish,
      exists (select from collections where status = 'working') as collecting,
      exists (select from removals) as removing,
      exists (select from restores where status = 'running') as restoring,
      exists (select from verifications where status = 'running') as verifying`.execute(
    world.database.db,
  )
  const [row] = rows
  if (row === undefined) throw new Error('the database says nothing')
  return row
}

/** Something that is done in an instant may be missed. */
const LONGEST: Ms = 3 * SECOND

/** Whether it was seen. */
export const waitFor = async (scene: AcrossScene, { aim, after }: Moment): Promise<boolean> => {
  const end = performance.now() + LONGEST
  let isThere = aim === 'asked'
  while (!isThere && performance.now() < end) {
    isThere = aim !== 'asked' && (await look(scene))[aim]
    if (!isThere) await sleep(1)
  }
  if (after > 0) await sleep(after)
  return isThere
}
