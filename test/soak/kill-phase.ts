/** How far a run is, as the database of the control plane has it, and the moment at which a victim is to die. */
import { sql } from 'kysely'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '#server/io/db/open.ts'
import { hasCode } from '#shared/errors.ts'
import { MINUTE } from '#shared/units.ts'
import type { Seeded } from '../support/seeded.ts'

/** In their order; `started`: before the first grant; `tree`: also while its pages are sent; `over`: it has ended. */
export const PHASES = [
  'waiting',
  'started',
  'granted',
  'packs',
  'tree',
  'record',
  'finish',
  'over',
] as const
export type Phase = (typeof PHASES)[number]

export type Look = {
  readonly status: string
  readonly code: string | null
  readonly granted: number
  /** Packs of content that are confirmed. */
  readonly packs: number
  readonly trees: number
  readonly record: boolean
  readonly finishing: boolean
}

/** Null: the database does not answer. */
export const look = async ({ db }: Database, backup: string): Promise<Look | null> => {
  try {
    const { rows } = await sql<Look>`
      select b.status, b.error ->> 'code' as code, b.finish is not null as finishing,
        (select count(*) from packs p where p.granted_by = b.id)::int as granted,
        (select count(*) from packs p where p.granted_by = b.id and class = 'pack' and state = 'stored')::int as packs,
        (select count(*) from packs p where p.granted_by = b.id and class = 'tree')::int as trees,
        exists (select from vault_objects o where o.granted_by = b.id and o.class = 'record') as record
      from backups b where b.id = ${backup}`.execute(db)
    return rows[0] ?? null
  } catch (error) {
    if (hasCode(error, 'DATABASE_UNAVAILABLE')) return null
    throw error
  }
}

export const isOver = ({ status }: Look): boolean => status !== 'pending' && status !== 'running'

export const phaseOf = (seen: Look): Phase => {
  if (isOver(seen)) return 'over'
  if (seen.status === 'pending') return 'waiting'
  if (seen.finishing) return 'finish'
  if (seen.record) return 'record'
  if (seen.trees > 0) return 'tree'
  if (seen.packs > 0) return 'packs'
  return seen.granted > 0 ? 'granted' : 'started'
}

/** When to strike: so long after the run is first seen in this phase, with so many packs confirmed. */
export type Moment = { readonly phase: Phase; readonly packs: number; readonly after: number }

/** Two thirds of them after the first confirmed pack. */
const TARGETS = ['packs', 'record', 'started', 'finish', 'tree', 'granted'] as const
/** Fewer than a run has. */
const MOST_PACKS = 2
const LONGEST_AFTER = 40

/** Each phase in turn, so that a few rounds see all of them; the moment in it by chance. */
export const chooseMoment = (chance: Seeded, turn: number): Moment => {
  const phase = TARGETS[turn % TARGETS.length] ?? 'started'
  return {
    phase,
    packs: phase === 'packs' ? 1 + chance.below(MOST_PACKS) : 0,
    after: chance.pick([0, chance.below(LONGEST_AFTER)]),
  }
}

const isReached = (seen: Look, { phase, packs }: Moment): boolean => {
  const [now, wanted] = [PHASES.indexOf(phaseOf(seen)), PHASES.indexOf(phase)]
  return now > wanted || (now === wanted && seen.packs >= packs)
}

/** Waits for the moment; the last that was seen before it. */
export const until = async (database: Database, backup: string, moment: Moment): Promise<Look> => {
  const end = performance.now() + MINUTE
  for (;;) {
    const seen = await look(database, backup)
    if (seen !== null && isReached(seen, moment)) {
      if (moment.after > 0) await sleep(moment.after)
      return (await look(database, backup)) ?? seen
    }
    if (performance.now() > end) throw new Error(`the run never came to "${moment.phase}"`)
    await sleep(1)
  }
}
