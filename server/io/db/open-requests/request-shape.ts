/** A row of `open_requests` as the API shows it. */
import type { Selectable } from 'kysely'
import type { OpenRequest } from '#shared/api/open-requests.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { openerFingerprint } from '#shared/protocol/open-request.ts'
import { showWanted } from '../../../core/selection.ts'
import { isoOrNull } from '../pages.ts'
import { wantedIn } from '../restores/restore-shape.ts'
import type { Schema } from '../schema.ts'

export type RequestRow = Selectable<Schema['open_requests']> & {
  readonly now_is: OpenRequest['status']
  readonly job_id: Selectable<Schema['backups']>['job_id']
  readonly restore_id: Selectable<Schema['restores']>['id'] | null
  readonly key_id: Selectable<Schema['encryption_keys']>['id']
  readonly key_recipient: string
  readonly first_packs: readonly number[]
}

const openerOf = (row: RequestRow): OpenRequest['opener'] => {
  const { server_id, token_id, signing_key, signature } = row
  const common = { name: row.opener_name, key: toBase64url(row.opener_key) }
  if (server_id === null || signing_key === null) {
    const type = token_id === null ? ('control-plane' as const) : ('token' as const)
    return { type, ...common, fingerprint: openerFingerprint(row.opener_key) }
  }
  return {
    type: 'agent',
    ...common,
    fingerprint: openerFingerprint(signing_key),
    server_id,
    signing_key: toBase64url(signing_key),
    ...(signature === null ? {} : { signature: toBase64url(signature) }),
  }
}

export const shapeRequest = (row: RequestRow): OpenRequest => {
  const { name, token_id } = row.requested_by
  return {
    id: row.id,
    purpose: row.purpose,
    status: row.now_is,
    backup_id: row.backup_id,
    job_id: row.job_id,
    vault_id: row.vault_id,
    restore_id: row.restore_id,
    encryption_key: { id: row.key_id, recipient: row.key_recipient },
    files: showWanted(wantedIn(row.wanted)),
    file_count: row.file_count,
    packs: [...row.first_packs],
    pack_count: row.pack_count,
    packs_sha256: toBase64url(row.packs_sha256),
    opener: openerOf(row),
    requested_by: token_id === undefined ? { name } : { name, token_id },
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
    approved_at: isoOrNull(row.approved_at),
  }
}
