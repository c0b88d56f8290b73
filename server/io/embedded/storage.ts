/** The storage in the data folder: its endpoint, and the row by which jobs name it. */
import { randomBytes } from 'node:crypto'
import type { StorageInput } from '#shared/api/storages.ts'
import { hasCode } from '#shared/errors.ts'
import type { StorageId } from '#shared/ids.ts'
import type { Log } from '#shared/world.ts'
import { type Config, placesIn } from '../../config.ts'
import type { Caller } from '../../core/caller.ts'
import type { Base } from '../base.ts'
import {
  type EmbeddedStorage,
  findEmbeddedStorage,
  moveEmbeddedStorage,
} from '../db/embedded-storage.ts'
import { readText, writePrivate } from '../private-file.ts'
import { BUCKET, type Endpoint, REGION, startEndpoint } from './s3-endpoint.ts'

export type LocalStorage = {
  readonly endpoint: Endpoint
  /** As it is to be added, if it is new. */
  readonly input: StorageInput
  readonly known: EmbeddedStorage | null
}

const freshCredentials = (): EmbeddedStorage['credentials'] => ({
  access_key_id: `HF${randomBytes(9).toString('hex').toUpperCase()}`,
  secret_access_key: randomBytes(32).toString('base64url'),
})

/** For the stock clients of whoever owns the data folder: `AWS_SHARED_CREDENTIALS_FILE` names this file. */
const credentialsFile = ({ access_key_id, secret_access_key }: StorageInput): string =>
  [
    '[default]',
    `aws_access_key_id = ${access_key_id}`,
    `aws_secret_access_key = ${secret_access_key}`,
    '',
  ].join('\n')

/** Serves the folder as S3, under the credentials that the database has for it. */
export const startLocalStorage = async (
  config: Config,
  base: Base,
  log: Log,
): Promise<LocalStorage> => {
  const places = placesIn(config.data)
  const id = (await readText(places.embeddedStorage))?.trim() ?? ''
  const known = await findEmbeddedStorage(base.database.db, base.sealing, id)
  const credentials = known?.credentials ?? freshCredentials()
  const endpoint = await startEndpoint(
    {
      folder: places.s3,
      accessKeyId: credentials.access_key_id,
      secretAccessKey: credentials.secret_access_key,
      port: config.s3,
      lastEndpoint: known?.endpoint ?? null,
    },
    log,
  )
  const input = {
    name: 'local',
    provider: 'embedded',
    endpoint: endpoint.url,
    region: REGION,
    bucket: BUCKET,
    ...credentials,
  }
  return { endpoint, input, known }
}

/** `local`, else `local (2)` and so on: several data folders may share one outside database. */
const add = async (base: Base, caller: Caller, input: StorageInput): Promise<string> => {
  for (let n = 1; ; n += 1) {
    try {
      const name = n === 1 ? input.name : `${input.name} (${n})`
      return (await base.resources.storages.add(caller, { ...input, name }, null)).id
    } catch (error) {
      if (!hasCode(error, 'CONFLICT') || n === 100) throw error
    }
  }
}

/** The row says where the endpoint is now, and the folder remembers its row. `added`: by the first start. */
export const settleLocalStorage = async (
  config: Config,
  base: Base,
  of: LocalStorage & { readonly caller: Caller; readonly added: StorageId | null },
): Promise<void> => {
  await writePrivate(placesIn(config.data).s3Credentials, credentialsFile(of.input))
  if (of.known !== null) {
    await moveEmbeddedStorage(base.database.db, of.known.id, of.endpoint.url)
    return
  }
  const id = of.added ?? (await add(base, of.caller, of.input))
  await writePrivate(placesIn(config.data).embeddedStorage, `${id}\n`)
}
