/** What a soak check is: one randomised case, repeated by the runner until the time is over. */
import type { Ms } from '#shared/units.ts'
import type { Seeded } from '../support/seeded.ts'

export type CaseResult = {
  /** What was done, for the count by kind. */
  readonly kind: string
  /** What was promised and not kept, a sentence each; empty when all is well. */
  readonly violations: readonly string[]
  /** What happened, for a line of its own. */
  readonly facts?: Readonly<Record<string, string | number>>
}

/** Options of a check as they were given, or their defaults. */
export type Chosen = Readonly<Record<string, string>>

/** What many cases share: it is made from the seed alone, so that any case can be repeated by its number. */
export type SoakRound = {
  readonly cases: number
  run(index: number, chance: Seeded): Promise<CaseResult>
  /** What is looked at once, after the last case: what was promised and not kept. */
  end?(): Promise<readonly string[]>
  close(): Promise<void>
}

export type SoakCheck = {
  readonly about: string
  /** A case that takes longer hangs. */
  readonly deadline: Ms
  /** Options of its own, each with its default: `{ victim: 'all' }` is `--victim all`. */
  readonly options?: Chosen
  /** How many cases make a run, where that is not a matter of time. Throws what is wrong with `chosen`. */
  count?(chosen: Chosen): number
  /** Cases of every round, where rounds cost so much that one which is not asked for is not to be made. */
  readonly casesARound?: number
  /** Round `index`; `folder` is empty and removed afterwards. */
  round(index: number, chance: Seeded, folder: string, chosen: Chosen): Promise<SoakRound>
}
