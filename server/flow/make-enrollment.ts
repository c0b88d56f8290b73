/** A one-time token with which an agent becomes a server of this organization, and what it will pin. */
import { parseDuration } from '#shared/api/durations.ts'
import type { Enrollment, EnrollmentInput } from '#shared/api/servers.ts'
import type { KeyId, ServerId, StorageId } from '#shared/ids.ts'
import { DAY, HOUR, MINUTE } from '#shared/units.ts'
import type { Caller } from '../core/caller.ts'
import type {
  EncryptionKeys,
  EnrollmentTokens,
  PreparedVault,
  PrepareVault,
  Servers,
  Storages,
} from '../ports.ts'
import { foundId } from './found.ts'

export type EnrollmentParts = {
  readonly servers: Servers
  readonly storages: Storages
  readonly keys: EncryptionKeys
  readonly enrollments: EnrollmentTokens
  readonly prepareVault: PrepareVault
  /** Where agents reach this control plane. */
  publicUrl(): string
}

const LIFETIME = { least: MINUTE, most: 7 * DAY, usual: HOUR }

type VaultChoice = NonNullable<EnrollmentInput['vaults']>[number]

type Pair = { readonly storage: StorageId; readonly key: KeyId }

const pairOf = async (
  parts: EnrollmentParts,
  caller: Caller,
  choice: VaultChoice,
): Promise<Pair> => {
  const storage = await foundId('storage', choice.storage_id, async (id: StorageId) =>
    parts.storages.get(caller, id),
  )
  const key = await foundId('encryption key', choice.encryption_key_id, async (id: KeyId) =>
    parts.keys.get(caller, id),
  )
  return { storage, key }
}

/** Shell words in single quotes, so that the command can be pasted whatever the URL holds. */
const quote = (word: string): string =>
  /^[A-Za-z0-9_./:@=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

/** Throws `RESOURCE_NOT_FOUND` for a server, storage or key that the caller does not have. The token is shown once. */
export const makeEnrollment = async (
  parts: EnrollmentParts,
  caller: Caller,
  wanted: EnrollmentInput & { readonly server: string },
): Promise<Enrollment> => {
  const lifetime =
    wanted.expires_in === undefined
      ? LIFETIME.usual
      : parseDuration(wanted.expires_in, 'expires_in', [LIFETIME.least, LIFETIME.most])
  const server = await foundId('server', wanted.server, async (id: ServerId) =>
    parts.servers.get(caller, id),
  )
  const pairs: Pair[] = []
  for (const choice of wanted.vaults ?? []) pairs.push(await pairOf(parts, caller, choice))
  const vaults: PreparedVault[] = []
  for (const pair of pairs) vaults.push(await parts.prepareVault(caller, { server, ...pair }))
  const made = await parts.enrollments.add(caller, {
    server,
    lifetime,
    vaults: pairs,
  })
  const confirm = vaults.map((vault) => ` --confirm=${vault.fingerprint}`).join('')
  return {
    id: made.id,
    server_id: server,
    token: made.token,
    // Whoever runs it reads it, and may name less than everything there.
    command: `echo ${made.token} | holdfast-agent enroll --url ${quote(parts.publicUrl())}${confirm} --allow-source /`,
    expires_at: made.expires_at,
    vaults,
  }
}
