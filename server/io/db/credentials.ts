/** The credentials of a storage, sealed under the master key for that storage alone. */
import { fail } from '#shared/errors.ts'
import type { StorageId } from '#shared/ids.ts'
import { parser, type Static, Type } from '#shared/schema.ts'
import type { Sealing } from '../secrets.ts'

const Credentials = Type.Object({
  access_key_id: Type.String(),
  secret_access_key: Type.String(),
})
export type Credentials = Static<typeof Credentials>
const parseCredentials = parser(Credentials)

export const credentialsPurpose = (storage: StorageId): string => `storages/${storage}/credentials`

export type CredentialSealing = {
  seal(storage: StorageId, credentials: Credentials): Uint8Array
  /** Throws `DAMAGED` under another master key. */
  open(storage: StorageId, sealed: Uint8Array): Credentials
}

export const credentialSealing = (sealing: Sealing): CredentialSealing => ({
  seal: (storage, { access_key_id, secret_access_key }) =>
    sealing.seal(
      credentialsPurpose(storage),
      Buffer.from(JSON.stringify({ access_key_id, secret_access_key }), 'utf8'),
    ),
  open: (storage, sealed) => {
    const opened = sealing.open(credentialsPurpose(storage), sealed)
    const parsed = parseCredentials(JSON.parse(Buffer.from(opened).toString('utf8')))
    if ('ok' in parsed) return parsed.ok
    throw fail('DAMAGED', { what: `the credentials of storage ${storage}`, problem: 'malformed' })
  },
})
