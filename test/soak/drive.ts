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
    if (result.violations.length === 0) return
    violations += 1
    if (failures.length < KEPT) failures.push({ case: number, violations: result.violations })
    plan.tell?.(`case ${number} (${result.kind}) of seed ${plan.seed}:`)
    for (const line of result.violations.slice(0, KEPT)) plan.tell?.(`  ${line}`)
  }
  const chance = seeded(`${plan.name} ${plan.seed}`)
  const chosen = { ...check.options, ...plan.chosen }
  let number = 0
  for (let index = 0; plan.more(cases); index += 1) {
    const folder = mkdtempSync(join(tmpdir(), `holdfast-soak-${plan.name}-`))
    try {
      const round = await check.round(index, chance.fork(`round ${index}`), folder, chosen)
      try {
        for (let i = 0; i < round.cases && plan.more(cases); i += 1, number += 1) {
          if (plan.only !== undefined && plan.only !== number) continue
          take(number, await timed(check, round, { i, chance: chance.fork(`case ${number}`) }))
        }
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
    const stack = error instanceof Error ? (error.stack ?? '') : ''
    return { kind: 'crash', violations: [`it threw: ${problemOf(error)} ${stack}`] }
  } finally {
    clearTimeout(timer)
  }
}
