import { type Kysely, sql } from 'kysely'
import type { BackupId } from '#shared/ids.ts'
import { CommitPage } from '#shared/protocol/reports.ts'
import { parser, Type } from '#shared/schema.ts'
import { fail } from '#shared/errors.ts'
import type { Page } from '../../../core/commit.ts'
import type { Schema } from '../schema.ts'

const { of, kind, packs } = CommitPage.properties
const parseBody = parser(Type.Object({ of, kind, packs }))

/**
 * Replaces the page. Pages of another statement (another count or kind) are of an attempt that was given up. The lock on
 * the run's row keeps a page from slipping in beside a commit.
 */
export const stagePage = async (
  db: Kysely<Schema>,
  { backup, epoch }: { readonly backup: BackupId; readonly epoch: number },
  page: Page,
): Promise<boolean> =>
  db.transaction().execute(async (trx) => {
    const run = await trx
      .selectFrom('backups')
      .select('org_id')
      .where('id', '=', backup)
      .where('status', '=', 'running')
      .where('lease_epoch', '=', epoch)
      .forUpdate()
      .executeTakeFirst()
    if (run === undefined) return false
    await trx
      .deleteFrom('commit_pages')
      .where('backup_id', '=', backup)
      .where(
        sql<boolean>`((body ->> 'of')::int, body ->> 'kind') is distinct from (${page.of}::int, ${page.kind}::text)`,
      )
      .execute()
    const body = { of: page.of, kind: page.kind, packs: page.packs }
    await trx
      .insertInto('commit_pages')
      .values({ backup_id: backup, page: page.page, org_id: run.org_id, body })
      .onConflict((conflict) => conflict.columns(['backup_id', 'page']).doUpdateSet({ body }))
      .execute()
    return true
  })

export const pagesOf = async (db: Kysely<Schema>, backup: BackupId): Promise<readonly Page[]> => {
  const rows = await db
    .selectFrom('commit_pages')
    .select(['page', 'body'])
    .where('backup_id', '=', backup)
    .orderBy('page')
    .execute()
  return rows.map(({ page, body }) => {
    const parsed = parseBody(body)
    if (!('ok' in parsed))
      throw fail('DAMAGED', { what: `page ${page} of a commit`, problem: parsed.problem })
    return { page, ...parsed.ok }
  })
}
