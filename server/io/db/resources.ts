/** The statements of the API on one database, with what they need of the world. */
import type { Kysely } from 'kysely'
import { utf8 } from '#shared/format/bytes.ts'
import { makeIdentity } from '#shared/format/keys.ts'
import { type Id, type KeyId, makeId } from '#shared/ids.ts'
import type { Clock, Random } from '#shared/world.ts'
import type {
  Backups,
  EncryptionKeys,
  EnrollmentTokens,
  FirstStart,
  Jobs,
  Organizations,
  Servers,
  Storages,
  Tokens,
} from '../../ports.ts'
import type { ServerSettingsRows } from '../../ports/server-settings.ts'
import type { Idempotency } from '../../ports/idempotency.ts'
import type { OwnOrganization } from '../../ports/organization.ts'
import type { Collections, Deletion } from '../../ports/deletion.ts'
import type { Downloads } from '../../ports/downloads.ts'
import type { Followable, Logs } from '../../ports/following.ts'
import type { UsedStorages } from '../../ports/readiness.ts'
import type { IssuedTokens, Projects } from '../../ports/tokens.ts'
import type { StoredObjects, Verifications } from '../../ports/verifications.ts'
import type { Sealing } from '../secrets.ts'
import { backupsIn } from './backups/backups.ts'
import { credentialSealing } from './credentials.ts'
import { collectionsIn } from './deletion/collections.ts'
import { deletionIn } from './deletion/deletion.ts'
import { downloadsIn } from './downloads/downloads.ts'
import { followedDownloads } from './downloads/followed-downloads.ts'
import { encryptionKeysIn, identityPurpose, type MakeIdentity } from './encryption-keys.ts'
import { enrollmentTokensIn } from './enrollment-tokens.ts'
import { firstStartIn } from './first-start.ts'
import { followedBackups } from './followed-backups.ts'
import { idempotencyIn } from './idempotency.ts'
import { jobsIn } from './jobs.ts'
import { logsIn } from './logs.ts'
import { ownOrganizationIn } from './organization.ts'
import { organizationsIn } from './organizations.ts'
import { projectsIn } from './projects.ts'
import { followedRestores } from './restores/followed.ts'
import { NAMES } from './runs/tables.ts'
import type { Schema } from './schema.ts'
import { serverSettingsIn } from './server-settings.ts'
import { serversIn } from './servers.ts'
import { storagesIn } from './storages.ts'
import { issuedTokensIn, tokensIn } from './tokens.ts'
import { usedStoragesIn } from './used-storages.ts'
import { followedVerifications } from './verifications/followed-verifications.ts'
import { storedObjectsIn } from './verifications/stored-objects.ts'
import { verificationsIn } from './verifications/verifications.ts'

export type Resources = {
  readonly tokens: Tokens
  readonly issued: IssuedTokens
  readonly projects: Projects
  readonly organizations: Organizations
  readonly organization: OwnOrganization
  readonly servers: Servers
  readonly serverSettings: ServerSettingsRows
  readonly storages: Storages
  readonly keys: EncryptionKeys
  readonly enrollments: EnrollmentTokens
  readonly jobs: Jobs
  readonly backups: Backups
  readonly firstStart: FirstStart
  readonly idempotency: Idempotency
  readonly downloads: Downloads
  readonly deletion: Deletion
  readonly collections: Collections
  readonly verifications: Verifications
  readonly storedObjects: StoredObjects
  readonly usedStorages: UsedStorages
  /** What can be followed while it runs, and the logs of it. */
  readonly followed: {
    readonly backups: Followable
    readonly restores: Followable
    readonly downloads: Followable
    readonly verifications: Followable
  }
  readonly logs: { readonly backups: Logs; readonly restores: Logs }
}

export type World = { readonly sealing: Sealing; readonly clock: Clock; readonly random: Random }

export const idMaker =
  ({ clock, random }: Pick<World, 'clock' | 'random'>) =>
  <Kind extends string>(): Id<Kind> =>
    makeId<Kind>(clock.now(), random(10))

const identityMaker =
  ({ sealing, random }: World): MakeIdentity =>
  (key) => {
    const identity = makeIdentity(random(32))
    return {
      recipient: identity.recipient.text,
      sealed: sealing.seal(identityPurpose(key), utf8(identity.text)),
    }
  }

const identityOpener =
  ({ sealing }: World) =>
  (key: KeyId, sealed: Uint8Array): string =>
    Buffer.from(sealing.open(identityPurpose(key), sealed)).toString('utf8')

export const resourcesIn = (db: Kysely<Schema>, world: World): Resources => {
  const makeId = idMaker(world)
  const { random } = world
  const credentials = credentialSealing(world.sealing)
  const makeIdentity = identityMaker(world)
  const openIdentity = identityOpener(world)
  const storages = (on: Kysely<Schema>): Storages =>
    storagesIn(on, { sealing: credentials, makeId })
  const keys = (on: Kysely<Schema>): EncryptionKeys =>
    encryptionKeysIn(on, { makeIdentity, openIdentity, makeId })
  const backups = backupsIn(db, makeId)
  return {
    tokens: tokensIn(db),
    issued: issuedTokensIn(db, { random, makeId }),
    projects: projectsIn(db, { makeId }),
    organizations: organizationsIn(db),
    organization: ownOrganizationIn(db, { makeId }),
    servers: serversIn(db, { makeId }),
    serverSettings: serverSettingsIn(db),
    storages: storages(db),
    keys: keys(db),
    enrollments: enrollmentTokensIn(db, { random, makeId }),
    jobs: jobsIn(db, { makeId }),
    backups,
    followed: {
      backups: followedBackups(db),
      restores: followedRestores(db),
      downloads: followedDownloads(db),
      verifications: followedVerifications(db),
    },
    logs: { backups: logsIn(db, NAMES.backup), restores: logsIn(db, NAMES.restore) },
    downloads: downloadsIn(db, { makeId }),
    deletion: deletionIn(db, { makeId, backups }),
    collections: collectionsIn(db),
    verifications: verificationsIn(db, { makeId }),
    storedObjects: storedObjectsIn(db),
    usedStorages: usedStoragesIn(db),
    idempotency: idempotencyIn(db, { sealing: world.sealing, makeId }),
    firstStart: firstStartIn(db, { random, makeId, storages, keys }),
  }
}
