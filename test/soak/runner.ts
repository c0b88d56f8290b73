/**
 * `npm run soak -- NAME [--minutes N] [--seed S] [--case N] [--json]`: repeats one randomised check until its time is
 * over. The last line is JSON: name, seed, cases, violations. Exit code 1 on a violation.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { MINUTE, SECOND } from '#shared/units.ts'
import type { SoakCheck } from './check.ts'
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

const run = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string', default: randomBytes(4).toString('hex') },
      case: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const [name = ''] = positionals
  const check = await load(name)
  if (check === null) {
    console.error(`Usage: npm run soak -- NAME [--minutes N] [--seed S] [--case N] [--json]`)
    console.error(`NAME is one of: ${(await names()).join(', ')}`)
    return 2
  }
  const say = (text: string): void => {
    if (!values.json) console.error(text)
  }
  const { seed } = values
  const until = performance.now() + Number(values.minutes) * MINUTE
  let told = performance.now()
  say(`${check.about} Seed ${seed}.`)
  const started = performance.now()
  const only = values.case === undefined ? {} : { only: Number(values.case) }
  const { failures, ...result } = await drive(check, {
    name,
    seed,
    ...only,
    tell: (text) => console.error(text),
    more: (cases) => {
      if (performance.now() - told > 10 * SECOND) {
        told = performance.now()
        say(`${cases} cases`)
      }
      return only.only !== undefined || performance.now() < until
    },
  })
  const [first] = failures
  if (first !== undefined) {
    console.error(`Again: npm run soak -- ${name} --seed ${seed} --case ${first.case}`)
  }
  const seconds = Math.round((performance.now() - started) / SECOND)
  console.log(JSON.stringify({ ...result, seconds, first_failure: first?.case ?? null }))
  return result.violations === 0 && result.cases > 0 ? 0 : 1
}

process.exitCode = await run()
