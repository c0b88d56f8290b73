/** What a soak check is: one randomised case, repeated by the runner until the time is over. */
import type { Ms } from '#shared/units.ts'
import type { Seeded } from '../support/seeded.ts'

export type CaseResult = {
  /** What was done, for the count by kind. */
  readonly kind: string
  /** What was promised and not kept, a sentence each; empty when all is well. */
  readonly violations: readonly string[]
}

/** What many cases share: it is made from the seed alone, so that any case can be repeated by its number. */
export type SoakRound = {
  readonly cases: number
  run(index: number, chance: Seeded): Promise<CaseResult>
  close(): Promise<void>
}

export type SoakCheck = {
  readonly about: string
  /** A case that takes longer hangs. */
  readonly deadline: Ms
  /** Round `index`; `folder` is empty and removed afterwards. */
  round(index: number, chance: Seeded, folder: string): Promise<SoakRound>
}
