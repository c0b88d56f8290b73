/** Who did what: a row in the transaction that did it. */
import { type Kysely, sql } from 'kysely'
import type { Id } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { Schema } from './schema.ts'
import type { JsonObject } from './schema-columns.ts'

export type Deed = {
  /** Object and verb in the past: `token.revoked`. */
  readonly action: string
  readonly subject: readonly [type: string, id: string]
  /** Never a secret. */
  readonly details?: JsonObject
}

export const audit = async (
  trx: Kysely<Schema>,
  [caller, entry]: readonly [Caller, Id<'audit entry'>],
  { action, subject, details }: Deed,
): Promise<void> => {
  const [type, id] = subject
  await trx
    .insertInto('audit_log')
    .values({
      id: entry,
      org_id: caller.organization,
      actor: { name: caller.name, token_id: caller.token },
      action,
      subject_type: type,
      subject_id: sql<string>`${id}::uuid`,
      details: details ?? {},
      request_id: caller.request ?? null,
    })
    .execute()
}
