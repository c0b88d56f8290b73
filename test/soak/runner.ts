/**
 * `npm run soak -- NAME [--minutes N] [--seed S] [--case N] [--json]`: repeats one randomised check until its time is
 * over, or as often as it says. A check may have options of its own. The last line is JSON: name, seed, cases,
 * violations. Exit code 1 on a violation.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { problemOf } from '#shared/errors.ts'
import { MINUTE, SECOND } from '#shared/units.ts'
import type { CaseResult, Chosen, SoakCheck } from './check.ts'
import { drive } from './drive.ts'

const isModule = (value: unknown): value is { readonly check: SoakCheck } =>
  typeof value === 'object' && value !== null && 'check' in value

const fileOf = (name: string): URL => new URL(`./${name}.ts`, import.meta.url)

const names = async (): Promise<string[]> => {
  const files = readdirSync(new URL('.', import.meta.url))
  const found = files.map((file) => file.replace(/\.ts$/, '')).filter((name) => name !== 'runner')
  const checks = await Promise.all(found.map(async (name) => load(name)))
  return found.filter((_, i) => checks[i] !== null)
}

const load = async (name: string): Promise<SoakCheck | null> => {
  if (!/^[a-z-]+$/.test(name) || !existsSync(fileOf(name))) return null
  const module: unknown = await import(fileOf(name).href)
  return isModule(module) ? module.check : null
}

type Asked = {
  readonly name: string
  readonly seed: string
  readonly json: boolean
  readonly only: number | null
  /** Null: as long as the check says, or a minute. */
  readonly minutes: number | null
  readonly chosen: Chosen
}

const COMMON = {
  minutes: { type: 'string' },
  seed: { type: 'string' },
  case: { type: 'string' },
  json: { type: 'boolean' },
} as const

const numberOf = (text: string | null): number | null => (text === null ? null : Number(text))

const readAsked = (name: string, check: SoakCheck, args: readonly string[]): Asked => {
  const own = Object.entries(check.options ?? {})
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...Object.fromEntries(own.map(([option]) => [option, { type: 'string' as const }])),
      ...COMMON,
    },
  })
  const given: Readonly<Record<string, unknown>> = values
  const textOf = (option: string): string | null => {
    const value = given[option]
    return typeof value === 'string' ? value : null
  }
  return {
    name,
    seed: textOf('seed') ?? randomBytes(4).toString('hex'),
    json: given['json'] === true,
    only: numberOf(textOf('case')),
    minutes: numberOf(textOf('minutes')),
    chosen: Object.fromEntries(own.map(([option, usual]) => [option, textOf(option) ?? usual])),
  }
}

/** How to ask for the same again. */
const wordsOf = ({ name, seed, chosen }: Asked, number: number): string =>
  [
    `npm run soak -- ${name} --seed ${seed} --case ${number}`,
    ...Object.entries(chosen).map(([option, value]) => `--${option} ${value}`),
  ].join(' ')

const moreOf = (check: SoakCheck, asked: Asked): ((cases: number) => boolean) => {
  const count = asked.minutes === null ? check.count?.(asked.chosen) : undefined
  const until = performance.now() + (asked.minutes ?? 1) * MINUTE
  let told = performance.now()
  return (cases) => {
    if (!asked.json && count === undefined && performance.now() - told > 10 * SECOND) {
      told = performance.now()
      console.error(`${cases} cases`)
    }
    if (asked.only !== null) return true
    return count === undefined ? performance.now() < until : cases < count
  }
}

const showCase = ({ json }: Asked, number: number, { kind, facts }: CaseResult): void => {
  if (facts === undefined) return
  const all = { case: number, kind, ...facts }
  if (json) console.log(JSON.stringify(all))
  else
    console.error(
      Object.entries(all)
        .map(([name, value]) => `${name} ${value}`)
        .join(', '),
    )
}

const run = async (): Promise<number> => {
  const [name = '', ...args] = process.argv.slice(2)
  const check = await load(name)
  if (check === null) {
    console.error(`Usage: npm run soak -- NAME [--minutes N] [--seed S] [--case N] [--json]`)
    console.error(`NAME is one of: ${(await names()).join(', ')}`)
    return 2
  }
  let asked: Asked
  let more: (cases: number) => boolean
  try {
    asked = readAsked(name, check, args)
    more = moreOf(check, asked)
  } catch (error) {
    console.error(problemOf(error))
    return 2
  }
  const { seed, chosen, only } = asked
  if (!asked.json) console.error(`${check.about} Seed ${seed}.`)
  const started = performance.now()
  const { failures, ...result } = await drive(check, {
    name,
    seed,
    chosen,
    ...(only === null ? {} : { only }),
    tell: (text) => console.error(text),
    done: (number, one) => showCase(asked, number, one),
    more,
  })
  const [first] = failures
  if (first !== undefined) console.error(`Again: ${wordsOf(asked, first.case)}`)
  const seconds = Math.round((performance.now() - started) / SECOND)
  console.log(JSON.stringify({ ...result, seconds, first_failure: first?.case ?? null }))
  return result.violations === 0 && result.cases > 0 ? 0 : 1
}

process.exitCode = await run()
