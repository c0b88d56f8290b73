/** A one-time token with which an agent becomes a server of this organization, and what it will pin. */
import { createHash } from 'node:crypto'
import { parseDuration } from '#shared/api/durations.ts'
import type { Enrollment, EnrollmentInput } from '#shared/api/servers.ts'
import type { KeyId, ServerId, StorageId } from '#shared/ids.ts'
import { DAY, HOUR, MINUTE } from '#shared/units.ts'
import type { Random } from '#shared/world.ts'
import type {
  Caller,
  EncryptionKeys,
  EnrollmentTokens,
  PreparedVault,
  PrepareVault,
  Servers,
  Storages,
} from '../ports.ts'
import { found } from './found.ts'

export type EnrollmentParts = {
  readonly servers: Servers
  readonly storages: Storages
  readonly keys: EncryptionKeys
  readonly enrollments: EnrollmentTokens
  readonly prepareVault: PrepareVault
  readonly random: Random
  /** Where agents reach this control plane. */
  publicUrl(): string
}

const LIFETIME = { least: MINUTE, most: 7 * DAY, usual: HOUR }

type VaultChoice = NonNullable<EnrollmentInput['vaults']>[number]

const prepare = async (
  parts: EnrollmentParts,
  caller: Caller,
  of: { readonly server: ServerId; readonly choice: VaultChoice },
): Promise<PreparedVault> => {
  const storage = await found('storage', of.choice.storage_id, async (id: StorageId) =>
    (await parts.storages.get(caller, id)) === null ? null : id,
  )
  const key = await found('encryption key', of.choice.encryption_key_id, async (id: KeyId) =>
    (await parts.keys.get(caller, id)) === null ? null : id,
  )
  return parts.prepareVault(caller, { server: of.server, storage, key })
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
  const server = await found('server', wanted.server, async (id: ServerId) =>
    (await parts.servers.get(caller, id)) === null ? null : id,
  )
  const vaults: PreparedVault[] = []
  for (const choice of wanted.vaults ?? [])
    vaults.push(await prepare(parts, caller, { server, choice }))
  const token = `hfe_${Buffer.from(parts.random(32)).toString('base64url')}`
  const made = await parts.enrollments.add(caller, {
    server,
    hash: createHash('sha256').update(token).digest(),
    lifetime,
    vaults: vaults.map((vault) => vault.id),
  })
  const confirm = vaults.map((vault) => ` --confirm ${vault.fingerprint}`).join('')
  return {
    id: made.id,
    server_id: server,
    token,
    command: `echo ${token} | holdfast-agent enroll --url ${quote(parts.publicUrl())}${confirm}`,
    expires_at: made.expires_at,
    vaults,
  }
}
