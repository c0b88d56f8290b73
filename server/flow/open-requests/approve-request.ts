/** The holder of a customer's key has sealed what was asked for to the opener: stored as it is, for nobody else can read it. */
import type { ApprovalInput, OpenRequest } from '#shared/api/open-requests.ts'
import { fail } from '#shared/errors.ts'
import { parseBase64url } from '#shared/format/bytes.ts'
import type { OpenRequestId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { ApproveOutcome, GivenKeys, OpenRequests } from '../../ports/open-requests.ts'
import { found, foundId } from '../found.ts'

export type ApproveParts = {
  readonly openRequests: OpenRequests
  wakeDispatcher(): void
}

/** A file key of 16 bytes, an id key of 32; sealing adds 49 (shared/seal.ts). */
const FILE_KEY = 16 + 49
const ID_KEY = 32 + 49

const sealed = (text: string, length: number, field: string): Uint8Array => {
  const bytes = parseBase64url(text, length)
  if (bytes !== null) return bytes
  throw fail('VALIDATION_FAILED', { field, problem: `is not base64url of ${length} bytes` })
}

const packNo = (text: string): number => {
  const no = Number(text)
  if (Number.isSafeInteger(no)) return no
  throw fail('VALIDATION_FAILED', {
    field: `sealed_file_keys.${text}`,
    problem: 'is not a pack number',
  })
}

const given = ({ sealed_file_keys, sealed_id_key, more = false }: ApprovalInput): GivenKeys => {
  if (!more && sealed_id_key === undefined)
    throw fail('VALIDATION_FAILED', { field: 'sealed_id_key', problem: 'is required' })
  const keys = Object.entries(sealed_file_keys).map(([no, key]): [number, Uint8Array] => [
    packNo(no),
    sealed(key, FILE_KEY, `sealed_file_keys.${no}`),
  ])
  return {
    keys: new Map(keys),
    sealedIdKey:
      sealed_id_key === undefined ? null : sealed(sealed_id_key, ID_KEY, 'sealed_id_key'),
    more,
  }
}

const refuse = (outcome: Extract<ApproveOutcome, { wrong: string }>): Error => {
  if (outcome.wrong === 'status')
    return fail('INVALID_STATE', { resource: 'The open request', status: outcome.status })
  const problem =
    outcome.wrong === 'unasked'
      ? 'is not a pack of this open request'
      : `is missing (${outcome.count} packs have no key)`
  const field = `sealed_file_keys.${outcome.pack}`
  return fail('VALIDATION_FAILED', { field, problem, count: outcome.count })
}

/** Everything or nothing of `input` is stored. */
export const approveRequest = async (
  parts: ApproveParts,
  caller: Caller,
  { request, ...input }: ApprovalInput & { readonly request: string },
): Promise<OpenRequest> => {
  const id = await foundId('open request', request, async (one: OpenRequestId) =>
    parts.openRequests.get(caller, one),
  )
  const outcome = await parts.openRequests.approve(caller, id, given(input))
  if (outcome === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'open request', id })
  if (typeof outcome === 'object') throw refuse(outcome)
  if (outcome === 'approved') parts.wakeDispatcher()
  return found('open request', id, async (one: OpenRequestId) =>
    parts.openRequests.get(caller, one),
  )
}
