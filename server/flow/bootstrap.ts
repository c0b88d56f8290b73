/**
 * The first start: an organization with its recovery key, its first token and a managed encryption key.
 *
 * The private halves exist in this function and in the kit, nowhere else. The kit is delivered *before* the rows are
 * committed: a crash between the two leaves a kit that opens nothing, never an organization whose kit nobody has.
 */
import type { StorageInput } from '#shared/api/storages.ts'
import { makeIdentity, makeSigningKey, parseIdentity } from '#shared/format/keys.ts'
import type { RecoveryKit } from '#shared/format/recovery-kit.ts'
import { makeId, type OrgId, type StorageId } from '#shared/ids.ts'
import type { Clock, Random } from '#shared/world.ts'
import type { FirstStart } from '../ports.ts'

export type BootstrapParts = {
  readonly firstStart: FirstStart
  readonly clock: Clock
  readonly random: Random
}

export type BootstrapWish = {
  /** The storage that comes with this control plane, if one does. */
  readonly storage: StorageInput | null
  /** Shows or stores the kit; if it throws, nothing was made. */
  deliver(kit: RecoveryKit): Promise<void>
}

export type Bootstrapped = {
  readonly kit: RecoveryKit
  /** Of all scopes; shown to nobody else. */
  readonly token: string
  readonly storage: StorageId | null
}

export const ORGANIZATION = 'default'

const makeKit = (
  { clock, random }: BootstrapParts,
  id: OrgId,
  storage: StorageInput | null,
): RecoveryKit => ({
  organization: ORGANIZATION,
  organizationId: id,
  madeAt: new Date(clock.now()).toISOString(),
  identity: makeIdentity(random(32)).text,
  signingSeed: random(32),
  storage:
    storage === null
      ? null
      : {
          endpoint: storage.endpoint,
          region: storage.region,
          bucket: storage.bucket,
          prefix: storage.prefix ?? '',
        },
})

/** `null` when there is an organization already, also one that another process made a moment ago. */
export const bootstrap = async (
  parts: BootstrapParts,
  wish: BootstrapWish,
): Promise<Bootstrapped | null> =>
  parts.firstStart.exclusively(async () => {
    const id = makeId<'organization'>(parts.clock.now(), parts.random(10))
    const kit = makeKit(parts, id, wish.storage)
    await wish.deliver(kit)
    const added = await parts.firstStart.add({
      id,
      name: ORGANIZATION,
      recoveryRecipient: parseIdentity(kit.identity).recipient.text,
      signingPublicKey: makeSigningKey(kit.signingSeed).publicKey,
      storage: wish.storage,
    })
    return { kit, ...added }
  })
