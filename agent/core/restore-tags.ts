/** restores.json: the random tags under which restores write their temporary files, so that those of killed ones can go. */
import { fail } from '#shared/errors.ts'
import { parser, type Static, Type } from '#shared/schema.ts'
import { DAY } from '#shared/units.ts'

const Tag = Type.Object({
  tag: Type.String({ pattern: '^[0-9a-f]{12}$' }),
  target: Type.String(),
  begun: Type.Integer({ minimum: 0 }),
})
export type Tag = Static<typeof Tag>

/** Restores that did not end in order are remembered for so long, and so many of them. */
const LONGEST = 90 * DAY
const MOST = 64

const parse = parser(Type.Object({ version: Type.Literal(1), tags: Type.Array(Tag) }))

/** No file is none; a damaged one is said, for it is ours. */
export const readTags = (bytes: Uint8Array | null): readonly Tag[] => {
  if (bytes === null) return []
  const problem = (text: string): Error =>
    fail('DAMAGED', { what: 'The file restores.json of this agent', problem: text })
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    throw problem('it is not JSON')
  }
  const parsed = parse(value)
  if ('ok' in parsed) return parsed.ok.tags
  throw problem(`${parsed.field} ${parsed.problem}`)
}

export const writeTags = (tags: readonly Tag[]): Uint8Array =>
  Buffer.from(`${JSON.stringify({ version: 1, tags })}\n`, 'utf8')

export const withTag = (tags: readonly Tag[], tag: Tag): readonly Tag[] =>
  [...tags.filter(({ begun }) => Math.abs(tag.begun - begun) < LONGEST), tag].slice(-MOST)

export const withoutTag = (tags: readonly Tag[], tag: string): readonly Tag[] =>
  tags.filter((one) => one.tag !== tag)

/** Those whose files may still lie where this restore goes. */
export const leftAt = (tags: readonly Tag[], target: string): readonly string[] =>
  tags.filter((one) => one.target === target).map(({ tag }) => tag)
