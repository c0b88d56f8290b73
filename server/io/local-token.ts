/** `data/token`: how the command line on this machine speaks to its control plane. */
import type { Base } from './base.ts'
import { systemClock } from './clock.ts'
import { addLocalToken, firstOrganization } from './db/first-start.ts'
import { idMaker } from './db/resources.ts'
import { readText, writePrivate } from './private-file.ts'
import { systemRandom } from './random.ts'

export const readLocalToken = async (file: string): Promise<string | null> =>
  (await readText(file))?.trim() ?? null

export const writeLocalToken = async (file: string, token: string): Promise<void> =>
  writePrivate(file, `${token}\n`)

/** The token of the file, or a new one where it is missing or no longer valid: whoever has the folder has the database. */
export const ensureLocalToken = async (base: Base, file: string): Promise<string> => {
  const known = await readLocalToken(file)
  if (known !== null && (await base.resources.tokens.find(known)) !== null) return known
  const organization = await firstOrganization(base.database.db)
  if (organization === null) throw new Error('there is no organization to make a token for')
  const makeId = idMaker({ clock: systemClock, random: systemRandom })
  const { token } = await addLocalToken(
    base.database.db,
    { random: systemRandom, makeId },
    organization,
  )
  await writeLocalToken(file, token)
  return token
}
