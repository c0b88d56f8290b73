/** What every control plane stands on: the database, the master key, and the statements that use both. */
import { parseUtf8 } from '#shared/format/bytes.ts'
import { fail } from '#shared/errors.ts'
import { reveal, type Secret } from '#shared/secret.ts'
import type { Log } from '#shared/world.ts'
import { type Config, placesIn } from '../config.ts'
import { systemClock } from './clock.ts'
import { firstOrganization } from './db/first-start.ts'
import { checkMasterKey } from './db/master-key.ts'
import { migrate } from './db/migrate.ts'
import { type Database, type DatabaseAddress, openDatabase } from './db/open.ts'
import { type Resources, resourcesIn } from './db/resources.ts'
import { keepPostgres } from './embedded/postgres/keep.ts'
import { systemRandom } from './random.ts'
import { loadMasterKey, type Sealing, sealing } from './secrets.ts'

export type Base = {
  readonly database: Database
  readonly sealing: Sealing
  readonly resources: Resources
  /** Settles when the embedded database died by itself and does not come back. */
  readonly broken: Promise<Error>
}

const textOf = (hidden: Secret): string => parseUtf8(reveal(hidden)) ?? ''

type Address = { readonly connect: DatabaseAddress; readonly broken: Promise<Error> }

const locate = async (
  config: Config,
  log: Log,
  { owned, stop }: { readonly owned: AsyncDisposableStack; readonly stop: AbortSignal },
): Promise<Address> => {
  if (config.databaseUrl !== null)
    return { connect: { url: textOf(config.databaseUrl) }, broken: new Promise(() => undefined) }
  const folder = placesIn(config.data).postgres
  const postgres = await keepPostgres({ folder, log, clock: systemClock }, stop)
  owned.defer(async () => postgres.close())
  const broken = postgres.broken.then((problem) => fail('DATABASE_UNAVAILABLE', { problem }))
  return { connect: postgres.connect, broken }
}

/**
 * A master key is made where there is none and nothing was ever sealed: a second replica that made its own would
 * seal under a key that the first does not have.
 */
const sealWith = async (config: Config, database: Database): Promise<Sealing> => {
  const { text, file } = config.masterKey
  const isFresh = (await firstOrganization(database.db)) === null
  const key = await loadMasterKey(
    {
      text: text === null ? undefined : textOf(text),
      file: file ?? placesIn(config.data).masterKey,
      create: isFresh,
    },
    systemRandom,
  )
  const made = sealing(key, systemRandom)
  await checkMasterKey(database.db, made)
  return made
}

/** Everything that it starts is put on `owned`. */
export const openBase = async (
  config: Config,
  log: Log,
  held: { readonly owned: AsyncDisposableStack; readonly stop: AbortSignal },
): Promise<Base> => {
  const { connect, broken } = await locate(config, log, held)
  const database = openDatabase(connect)
  held.owned.defer(async () => database.close())
  await migrate(database.db, log)
  const seal = await sealWith(config, database)
  const world = { sealing: seal, clock: systemClock, random: systemRandom }
  return { database, sealing: seal, resources: resourcesIn(database.db, world), broken }
}
