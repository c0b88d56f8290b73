/** Looks an object up by an id that a client gave. */
import { fail } from '#shared/errors.ts'
import { type Id, isId } from '#shared/ids.ts'

const isIdOf = <Kind extends string>(text: string): text is Id<Kind> => isId(text)

/**
 * The object, or `RESOURCE_NOT_FOUND`: also for another organization's, and for a UUID that cannot be one of ours.
 * `resource` is the word that the person reads.
 */
export const found = async <Kind extends string, Row>(
  resource: string,
  text: string,
  get: (id: Id<Kind>) => Promise<Row | null>,
): Promise<Row> => {
  const id = text.toLowerCase()
  const row = isIdOf<Kind>(id) ? await get(id) : null
  if (row === null) throw fail('RESOURCE_NOT_FOUND', { resource, id: text })
  return row
}

/** The id itself, typed, once the object is known to be there. */
export const foundId = async <Kind extends string>(
  resource: string,
  text: string,
  get: (id: Id<Kind>) => Promise<unknown>,
): Promise<Id<Kind>> =>
  found(resource, text, async (id: Id<Kind>) => ((await get(id)) === null ? null : id))
