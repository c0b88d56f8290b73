import { parseArgs } from 'node:util'
import { fail, problemOf } from '#shared/errors.ts'

/** Flags of a command: each takes a value, and those in `many` may be given several times. */
export type Flags = {
  one(name: string): string | null
  all(name: string): readonly string[]
  readonly rest: readonly string[]
}

/** `WRONG_USE` with `usage` for a flag that is unknown, lacks its value, or stands twice. */
export const readFlags = (
  args: readonly string[],
  names: readonly string[],
  usage: string,
): Flags => {
  const options = Object.fromEntries(
    names.map((name) => [name, { type: 'string', multiple: true }] as const),
  )
  const wrong = (problem: string): Error =>
    fail('WRONG_USE', { problem: `${problem}. Usage: ${usage}` })
  const read = (): { values: Record<string, unknown>; positionals: string[] } => {
    try {
      return parseArgs({ args: [...args], options, allowPositionals: true })
    } catch (error) {
      throw wrong(problemOf(error).replace(/\.$/, ''))
    }
  }
  const { values, positionals } = read()
  const all = (name: string): readonly string[] => {
    const value = values[name]
    return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
  }
  return {
    all,
    one: (name) => {
      const [value, second] = all(name)
      if (second !== undefined) throw wrong(`--${name} stands twice`)
      return value ?? null
    },
    rest: positionals,
  }
}
