/** Runs the cases of a check, for the runner and for the slice that `npm test` runs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { problemOf } from '#shared/errors.ts'
import { seeded } from '../support/seeded.ts'
import type { CaseResult, Chosen, SoakCheck, SoakRound } from './check.ts'

export type SoakPlan = {
  readonly name: string
  readonly seed: string
  /** Goes on while this is true, asked before each case. */
  readonly more: (cases: number) => boolean
  /** Only this case. */
  readonly only?: number
  readonly chosen?: Chosen
  readonly tell?: (text: string) => void
  /** After each case. */
  readonly done?: (number: number, result: CaseResult) => void
}

export type SoakResult = {
  readonly name: string
  readonly seed: string
  readonly cases: number
  readonly violations: number
  readonly kinds: Readonly<Record<string, number>>
  readonly failures: readonly { readonly case: number; readonly violations: readonly string[] }[]
}

const KEPT = 20

export const drive = async (check: SoakCheck, plan: SoakPlan): Promise<SoakResult> => {
  const kinds: Record<string, number> = {}
  const failures: { case: number; violations: readonly string[] }[] = []
  let cases = 0
  let violations = 0
  const take = (number: number, result: CaseResult): void => {
    cases += 1
    kinds[result.kind] = (kinds[result.kind] ?? 0) + 1
    plan.done?.(number, result)
    if (result.violations.length > 0) fault(number, result.kind, result.violations)
  }
  const fault = (number: number, kind: string, lines: readonly string[]): void => {
    violations += 1
    if (failures.length < KEPT) failures.push({ case: number, violations: lines })
    plan.tell?.(`case ${number} (${kind}) of seed ${plan.seed}:`)
    for (const line of lines.slice(0, KEPT)) plan.tell?.(`  ${line}`)
  }
  /** A violation of the whole round is its last case's. */
  const takeEnd = async (round: SoakRound, last: number): Promise<void> => {
    const found = (await round.end?.()) ?? []
    if (found.length > 0) fault(last, 'end', found)
  }
  const chance = seeded(`${plan.name} ${plan.seed}`)
  const chosen = { ...check.options, ...plan.chosen }
  let number = 0
  for (let index = 0; plan.more(cases); index += 1) {
    const { casesARound = 0 } = check
    if (casesARound > 0 && (plan.only ?? 0) >= number + casesARound) {
      number += casesARound
      continue
    }
    const folder = mkdtempSync(join(tmpdir(), `holdfast-soak-${plan.name}-`))
    try {
      let ran: number | null = null
      const round = await check.round(index, chance.fork(`round ${index}`), folder, chosen)
      try {
        for (let i = 0; i < round.cases && plan.more(cases); i += 1, number += 1) {
          if (plan.only !== undefined && plan.only !== number) continue
          take(number, await timed(check, round, { i, chance: chance.fork(`case ${number}`) }))
          ran = number
        }
        if (ran !== null) await takeEnd(round, ran)
      } finally {
        await round.close()
      }
      if (plan.only !== undefined && number > plan.only) break
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  return { name: plan.name, seed: plan.seed, cases, violations, kinds, failures }
}

type One = { readonly i: number; readonly chance: ReturnType<typeof seeded> }

/** A case that throws, or does not end, is a violation like any other. */
const timed = async (
  check: SoakCheck,
  round: SoakRound,
  { i, chance }: One,
): Promise<CaseResult> => {
  let timer: NodeJS.Timeout | undefined
  const hang = new Promise<CaseResult>((resolve) => {
    timer = setTimeout(() => {
      resolve({ kind: 'hang', violations: [`it took longer than ${check.deadline} ms`] })
    }, check.deadline)
  })
  try {
    return await Promise.race([round.run(i, chance), hang])
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.stack : ''
    const stack = error instanceof Error ? `${error.stack ?? ''} ${cause ?? ''}` : ''
    return { kind: 'crash', violations: [`it threw: ${problemOf(error)} ${stack}`] }
  } finally {
    clearTimeout(timer)
  }
}
