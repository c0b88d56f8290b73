/** Bodies that operations take. Whatever has no field that must be there takes `{}`, and is not listed. */
import { boxPublicKey } from '#shared/format/keys.ts'

/** Of one object each, by the first part of its path; and of what else a request names. */
export type Ids = Readonly<Record<string, string>>

export const OPENER_KEY = Buffer.from(boxPublicKey(new Uint8Array(32).fill(7))).toString(
  'base64url',
)

let made = 0
const newName = (): string => {
  made += 1
  return `walk-${made}`
}

const BODIES: Readonly<Record<string, (ids: Ids) => object>> = {
  confirmOrganizationRecovery: () => ({ signature: 'A'.repeat(86), time: 0 }),
  createToken: () => ({ name: newName(), scopes: ['admin'] }),
  createProject: () => ({ name: newName() }),
  createServer: () => ({ name: newName(), type: 'agent' }),
  createStorage: () => ({
    name: newName(),
    provider: 'other',
    endpoint: 'http://127.0.0.1:9',
    region: 'us-east-1',
    bucket: 'vaults',
    access_key_id: 'key',
    secret_access_key: 'secret',
  }),
  createEncryptionKey: () => ({ name: newName(), type: 'managed' }),
  createJob: (ids) => ({
    name: newName(),
    server_id: ids['servers'],
    storage_id: ids['storages'],
    encryption_key_id: ids['encryption-keys'],
    sources: [{ type: 'files', paths: ['/etc'] }],
  }),
  createServerEnrollmentToken: (ids) => ({
    vaults: [{ storage_id: ids['storages'], encryption_key_id: ids['encryption-keys'] }],
  }),
  downloadBackup: () => ({ format: 'parts', opener_key: OPENER_KEY }),
  verifyBackup: () => ({ level: 'restore' }),
  restoreBackup: (ids) => ({
    compute: { type: 'agent', server_id: ids['servers'] },
    target_path: `/restored/${newName()}`,
  }),
  createOpenRequest: (ids) => ({
    purpose: 'download',
    backup_id: ids['locked backup'],
    opener_key: OPENER_KEY,
  }),
  approveOpenRequest: () => ({ sealed_file_keys: {}, sealed_id_key: 'A'.repeat(108) }),
}

export const goodBody = (operation: string, ids: Ids): object => BODIES[operation]?.(ids) ?? {}
