/**
 * The local policy: what whoever owns this machine lets the control plane ask for (README.md, "The local policy"). The
 * control plane can neither read nor widen it.
 */
import { fail, type Failure } from '#shared/errors.ts'
import { type Bytes, isDir } from '#shared/format/tree-order.ts'
import { LEAST_LIMIT, type Speeds } from '#shared/limits.ts'
import { parser, Type } from '#shared/schema.ts'
import { normalise } from './sources.ts'

const paths = Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), { maxItems: 1000 })

/** Bytes a second. */
const speed = Type.Optional(
  Type.Integer({ minimum: LEAST_LIMIT, maximum: Number.MAX_SAFE_INTEGER }),
)

/** As it is written: JSON, in which lines that begin with `//` are for people. */
const PolicyFile = Type.Object(
  {
    version: Type.Literal(1),
    sources: paths,
    restores: paths,
    upload_limit: speed,
    download_limit: speed,
  },
  { additionalProperties: false },
)

export type Kind = 'source' | 'restore'

/** Folders and files, absolute and without links on the way to them; each stands for all that is below it. */
export type Policy = {
  /** Where it is written. */
  readonly file: string
  readonly sources: readonly Bytes[]
  readonly restores: readonly Bytes[]
  /** What no limit of the control plane is above; null: nothing. */
  readonly ceiling: Speeds
}

export const unusable = (file: string, problem: string): Failure =>
  fail('POLICY_UNUSABLE', { policy: file, problem })

const COMMENT = /^\s*\/\//

const parseFile = parser(PolicyFile)

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const unknownIn = (value: unknown): string | undefined =>
  isObject(value)
    ? Object.keys(value).find((name) => !Object.hasOwn(PolicyFile.properties, name))
    : undefined

/** `POLICY_UNUSABLE` for whatever is not exactly a policy: a word that is misspelt must not count as nothing. */
export const parsePolicy = (file: string, text: string): Policy => {
  const lines = text.split('\n').map((line) => (COMMENT.test(line) ? '' : line))
  let value: unknown
  try {
    value = JSON.parse(lines.join('\n'))
  } catch {
    throw unusable(file, 'it is not JSON')
  }
  const unknown = unknownIn(value)
  if (unknown !== undefined) throw unusable(file, `there is no field "${unknown}"`)
  const parsed = parseFile(value)
  if (!('ok' in parsed)) throw unusable(file, `${parsed.field} ${parsed.problem}`)
  const rootsOf = (given: readonly string[]): readonly Bytes[] =>
    given.map((path) => {
      const root = normalise(path)
      if (root === null) throw unusable(file, `"${path}" is not an absolute path without ".."`)
      return root
    })
  const { sources, restores, upload_limit: upload, download_limit: download } = parsed.ok
  const ceiling = { upload: upload ?? null, download: download ?? null }
  return { file, sources: rootsOf(sources), restores: rootsOf(restores), ceiling }
}

/** What a new policy names, as text. */
export type Allow = { readonly sources: readonly string[]; readonly restores: readonly string[] }

export const formatPolicy = ({ sources, restores }: Allow): string =>
  `// What the control plane may ask the agent of this machine for. Each path stands for all that is below it; an empty
// list allows nothing. Only root, or who runs the agent, may write this file. It is read again for every order.
${JSON.stringify({ version: 1, sources, restores }, null, 2)}
`

const LISTS = { source: 'sources', restore: 'restores' } as const

const isWithin = (root: Bytes, path: Bytes): boolean =>
  root === '/' || path === root || path.startsWith(`${root}/`)

/** Whether the policy names `path`, or a folder above it. `path` is absolute, without `..`, and without links on the way to it. */
export const allows = (policy: Policy, kind: Kind, path: Bytes): boolean => {
  return isDir(path) && policy[LISTS[kind]].some((root) => isWithin(root, path))
}

export const refused = (policy: Policy, kind: Kind, path: string): Failure =>
  fail('POLICY_REFUSED', { path, list: LISTS[kind], policy: policy.file })
