/** What a recovery stands on: the catalog in this data folder (or DATABASE_URL), made for the kit's organization, and the bucket. */
import type { StorageInput } from '#shared/api/storages.ts'
import { fail } from '#shared/errors.ts'
import { parseId, type OrgId, type StorageId } from '#shared/ids.ts'
import type { RecoverKit } from '#shared/protocol/recovery.ts'
import type { Log } from '#shared/world.ts'
import { type Config, placesIn } from '../config.ts'
import type { Caller } from '../core/caller.ts'
import type { VaultStore } from '../ports.ts'
import type { Recovery } from '../ports/recovery.ts'
import { agentPortsOn } from './agent-ports.ts'
import { type Base, openBase } from './base.ts'
import { systemClock } from './clock.ts'
import { firstOrganization } from './db/first-start.ts'
import { recoveryIn } from './db/recovery/recovery.ts'
import { idMaker } from './db/resources.ts'
import { tryLock } from './embedded/postgres/lock.ts'
import { type LocalStorage, settleLocalStorage, startLocalStorage } from './embedded/storage.ts'
import { ensureLocalToken, writeLocalToken } from './local-token.ts'
import { makeFolder } from './private-file.ts'
import { systemRandom } from './random.ts'

export type RecoverFrom = 'embedded' | StorageInput

export type Ground = {
  readonly organization: OrgId
  readonly storage: StorageId
  readonly store: VaultStore
  readonly recovery: Recovery
}

type Held = { readonly owned: AsyncDisposableStack; readonly stop: AbortSignal }

type Bucket = Pick<StorageInput, 'endpoint' | 'bucket' | 'prefix'>

const addressOf = ({ endpoint, bucket, prefix = '' }: Bucket): string =>
  [endpoint.replace(/\/+$/, ''), bucket, prefix].join('/')

const sameBucket = (a: Bucket, b: Bucket): boolean => addressOf(a) === addressOf(b)

/** A catalog that was just made has one; a hundred are more than anybody has. */
const LIST = {
  limit: 100,
  offset: 0,
  sort: { field: 'created_at', descending: true },
  after: null,
}

/** The storage's row, where an earlier recovery has added it. */
const storageFor = async (
  { resources }: Base,
  caller: Caller,
  input: StorageInput,
): Promise<StorageId> => {
  const { items } = await resources.storages.list(caller, LIST, {})
  const known = items.find((row) => sameBucket(input, row))
  const id = known?.id ?? (await resources.storages.add(caller, input, null)).id
  return parseId<'storage'>(id, 'storage')
}

/** The organization of the kit, which nobody else's catalog becomes. */
const organizationOf = async (
  config: Config,
  base: Base,
  kit: RecoverKit,
): Promise<{ readonly id: OrgId; readonly caller: Caller }> => {
  const id = parseId<'organization'>(kit.organization_id, 'organization')
  const places = placesIn(config.data)
  const made = await base.resources.firstStart.exclusively(async () =>
    base.resources.firstStart.add({
      id,
      name: kit.organization.slice(0, 200) || 'Recovered',
      recoveryRecipient: kit.recovery,
      signingPublicKey: new Uint8Array(Buffer.from(kit.signing_key, 'base64url')),
      storage: null,
    }),
  )
  if (made !== null) await writeLocalToken(places.token, made.token)
  else if ((await firstOrganization(base.database.db)) !== id)
    throw fail('CONFLICT', { problem: 'this catalog is of another organization than the kit' })
  const caller = await base.resources.tokens.find(await ensureLocalToken(base, places.token))
  if (caller === null) throw fail('UNAUTHENTICATED')
  return { id, caller }
}

const embeddedOf = async (
  config: Config,
  [base, log, owned]: readonly [Base, Log, AsyncDisposableStack],
): Promise<LocalStorage> => {
  const storage = await startLocalStorage(config, base, log)
  owned.defer(async () => storage.endpoint.thread.close())
  return storage
}

export const openGround = async (
  config: Config,
  log: Log,
  [from, kit, { owned, stop }]: readonly [RecoverFrom, RecoverKit, Held],
): Promise<Ground> => {
  await makeFolder(config.data)
  const release = tryLock(placesIn(config.data).lock)
  if (release === null)
    throw fail('WRONG_USE', { problem: 'A control plane runs on this data folder: stop it first' })
  owned.defer(release)
  const base = await openBase(config, log, { owned, stop })
  const { id, caller } = await organizationOf(config, base, kit)
  const local = from === 'embedded' ? await embeddedOf(config, [base, log, owned]) : null
  const input = from === 'embedded' ? local?.input : from
  if (input === undefined) throw fail('INTERNAL')
  const storage = await storageFor(base, caller, input)
  if (local !== null) await settleLocalStorage(config, base, { ...local, caller, added: storage })
  const ports = agentPortsOn(base)
  owned.defer(() => ports.stores.close())
  const makeId = idMaker({ clock: systemClock, random: systemRandom })
  return {
    organization: id,
    storage,
    store: await ports.stores.open(storage),
    recovery: recoveryIn(base.database.db, { sealing: base.sealing, makeId }),
  }
}
