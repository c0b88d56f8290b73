import { type Kysely, sql } from 'kysely'
import { MOST_SHOWN } from '#shared/api/restores.ts'
import type { Id } from '#shared/ids.ts'
import { packsSha256 } from '#shared/protocol/open-request.ts'
import type { Caller } from '../../../core/caller.ts'
import type { NewOpenRequest, Opener } from '../../../ports/open-requests.ts'
import { audit } from '../audit.ts'
import { wantedRows } from '../restores/restore-shape.ts'
import type { Schema } from '../schema.ts'

export type AddParts = {
  makeId(): Id<'audit entry'>
  /** Puts an opener's secret half under the master key, for the request whose id is given. */
  seal(request: string, secret: Uint8Array): Uint8Array
}

const openerColumns = (parts: AddParts, request: string, opener: Opener) => {
  const common = { opener_name: opener.name, opener_key: opener.key }
  switch (opener.type) {
    case 'agent':
      return { ...common, server_id: opener.server, signing_key: opener.signingKey }
    case 'token':
      return { ...common, token_id: opener.token }
    case 'control-plane':
      return { ...common, sealed_opener_secret: parts.seal(request, opener.secret) }
  }
}

/** Within the caller's transaction. */
export const addOpenRequest = async (
  trx: Kysely<Schema>,
  parts: AddParts,
  [caller, wanted]: readonly [Caller, NewOpenRequest],
): Promise<void> => {
  const { id, purpose, of, opener, packs, lifetime } = wanted
  await trx
    .insertInto('open_requests')
    .values({
      id,
      org_id: caller.organization,
      purpose,
      backup_id: of.backup,
      vault_id: of.vault,
      ...openerColumns(parts, id, opener),
      wanted: sql`${wantedRows(wanted.wanted.slice(0, MOST_SHOWN))}::jsonb`,
      file_count: wanted.wanted.length,
      pack_count: packs.length,
      packs_sha256: new Uint8Array(Buffer.from(packsSha256(packs), 'base64url')),
      requested_by: { name: caller.name, token_id: caller.token },
      expires_at: sql<Date>`hf_now() + ${lifetime} * interval '1 millisecond'`,
    })
    .execute()
  await sql`
    insert into open_request_packs (request_id, pack_no, org_id)
    select ${id}, no, ${caller.organization} from unnest(${[...packs]}::bigint[]) as p(no)`.execute(
    trx,
  )
  await audit(trx, [caller, parts.makeId()], {
    action: 'open_request.made',
    subject: ['open request', id],
    details: { purpose, backup_id: of.backup, opener: opener.type, packs: packs.length },
  })
}
