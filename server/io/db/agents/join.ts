import { type Kysely, sql } from 'kysely'
import type { Id, ServerId } from '#shared/ids.ts'
import type { Facts } from '#shared/protocol/hello.ts'
import type { Schema } from '../schema.ts'

/**
 * Compare and set: of two connections with one `joins`, one is counted. The other is a copy of the agent, or an older
 * state of it; the server is marked, and the audit log keeps it after a later good connection took the mark away.
 */
export const join = async (
  db: Kysely<Schema>,
  hello: { readonly server: ServerId; readonly joins: number; readonly facts: Facts },
  entry: Id<'audit entry'>,
): Promise<{ readonly joined: boolean; readonly known: number }> => {
  const { server, joins, facts } = hello
  const joined = await db
    .updateTable('servers')
    .set({
      join_counter: joins,
      status: 'online',
      facts: { ...facts },
      agent_version: facts.agent_version,
      last_seen_at: sql<Date>`hf_now()`,
      updated_at: sql<Date>`hf_now()`,
    })
    .where('id', '=', server)
    .where('join_counter', '<', joins)
    .where('signing_key', 'is not', null)
    .where('revoked_at', 'is', null)
    .returning('join_counter')
    .executeTakeFirst()
  if (joined !== undefined) return { joined: true, known: joins }
  const marked = await sql<{ join_counter: number }>`
    with marked as (
      update servers set status = 'failing', updated_at = hf_now() where id = ${server}
      returning org_id, name, join_counter
    ), noted as (
      insert into audit_log (id, org_id, actor, action, subject_type, subject_id, details)
      select ${entry}, org_id, jsonb_build_object('name', name, 'server_id', ${server}::text), 'agent.cloned', 'server',
        ${server}::uuid, jsonb_build_object('joins', ${joins}::bigint, 'known', join_counter)
      from marked
    )
    select join_counter from marked`.execute(db)
  return { joined: false, known: marked.rows[0]?.join_counter ?? 0 }
}
