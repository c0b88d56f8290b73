/** Versions of the vault format and what this one can read. FORMAT.md, "Versions". */
import { fail } from '../errors.ts'

/** What this version writes. */
export const FORMAT = 1

/** Features beyond version 1 that this version reads. Unknown fields are ignored; unknown features are refused. */
const FEATURES: ReadonlySet<string> = new Set()

/** Throws `UNSUPPORTED` naming the first thing in `what` that this version cannot read. */
export const checkReadable = (what: string, format: number, requires: readonly string[]): void => {
  if (format !== FORMAT) throw fail('UNSUPPORTED', { what, feature: `format ${String(format)}` })
  const unknown = requires.find((feature) => !FEATURES.has(feature))
  if (unknown !== undefined) throw fail('UNSUPPORTED', { what, feature: unknown })
}
