/**
 * Text that is text: the database can keep neither a NUL character nor half of a surrogate pair, and nothing that is
 * named or shown has one. Looked for in whatever comes in, after its shape is known to be right.
 */

export type BadText = {
  /** RFC 6901, like that of the schema library. */
  readonly pointer: string
  readonly problem: string
}

const problemOf = (text: string): string | null => {
  if (text.includes('\u0000')) return 'must not contain a NUL character'
  return text.isWellFormed() ? null : 'is not well-formed Unicode'
}

const badField = (name: string, value: unknown, pointer: string): BadText | null => {
  const problem = problemOf(name)
  return problem === null
    ? badText(value, `${pointer}/${name}`)
    : { pointer, problem: `has a name that ${problem}` }
}

/** The first such text in `value`, in the names of its fields too. */
export const badText = (value: unknown, pointer = ''): BadText | null => {
  if (typeof value === 'string') {
    const problem = problemOf(value)
    return problem === null ? null : { pointer, problem }
  }
  if (typeof value !== 'object' || value === null) return null
  for (const [name, part] of Object.entries(value)) {
    const bad = badField(name, part, pointer)
    if (bad !== null) return bad
  }
  return null
}
