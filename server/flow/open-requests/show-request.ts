/** An open request with what its approver verifies: the record, the chain of signers, the vault's secret. */
import type { OpenRequest } from '#shared/api/open-requests.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { type OpenRequestId, parseId } from '#shared/ids.ts'
import type { Clock } from '#shared/world.ts'
import type { Caller } from '../../core/caller.ts'
import type { Stores, VaultStore } from '../../ports.ts'
import type { OpenRequests } from '../../ports/open-requests.ts'
import type { Reading, StoredRow } from '../../ports/reading.ts'
import { found } from '../found.ts'
import { signedGet } from '../signed-get.ts'

export type ShowRequestParts = {
  readonly openRequests: OpenRequests
  readonly reading: Reading
  readonly stores: Stores
  readonly clock: Clock
}

type Evidence = NonNullable<OpenRequest['evidence']>

const located = (
  parts: Pick<ShowRequestParts, 'clock'>,
  store: VaultStore,
  { key, size, sha256, header }: StoredRow,
): Evidence['record'] => {
  const { url, expires_at } = signedGet(parts, store, key)
  return {
    key,
    size,
    sha256,
    header: toBase64url(header),
    url,
    expires_at: new Date(expires_at).toISOString(),
  }
}

/** Null where there is nothing more to verify: the backup was deleted. */
const evidenceOf = async (
  parts: ShowRequestParts,
  caller: Caller,
  { backup_id }: OpenRequest,
): Promise<Evidence | null> => {
  const committed = await parts.reading.committed(caller, parseId(backup_id, 'backup_id'))
  if (committed === null) return null
  const store = await parts.stores.open(committed.storage)
  const secrets = await parts.reading.secrets(committed.vault)
  return {
    record: located(parts, store, committed.record),
    signers: committed.signers.map(toBase64url),
    secrets: secrets.map(({ no, ...row }) => ({ no, ...located(parts, store, row) })),
  }
}

/** The URLs are for who may approve: a token that only reads sees that there is a request. */
export const showRequest = async (
  parts: ShowRequestParts,
  caller: Caller,
  id: string,
): Promise<OpenRequest> => {
  const request = await found('open request', id, async (one: OpenRequestId) =>
    parts.openRequests.get(caller, one),
  )
  if (!caller.scopes.includes('keys')) return request
  const evidence = await evidenceOf(parts, caller, request)
  return evidence === null ? request : { ...request, evidence }
}
