import { createQueryId, type KyselyPlugin, type RootOperationNode, sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BackupQuery } from '#shared/api/backups.ts'
import { secret } from '#shared/secret.ts'
import type { Caller } from '#server/core/caller.ts'
import { pageRequest } from '#server/core/page.ts'
import { systemClock } from '#server/io/clock.ts'
import { resourcesIn } from '#server/io/db/resources.ts'
import { systemRandom } from '#server/io/random.ts'
import { sealing } from '#server/io/secrets.ts'
import { id, makeWorld, type World } from '../../support/agent-world.ts'
import { testDatabase, type TestDatabase } from '../../support/database-template.ts'

/** Enough that reading all of them is never the cheapest. */
const MANY = 20_000
const PAGING = ['limit', 'size', 'page_size', 'offset', 'cursor', 'sort', 'sort_by', 'sort_order']

let database: TestDatabase
let world: World
let job: string
let server: string
const project = id<'project'>()

beforeAll(async () => {
  database = await testDatabase()
  world = await makeWorld(database)
  const servers = await Promise.all(Array.from({ length: 40 }, async () => world.addServer()))
  const jobs = await Promise.all(servers.map(async (one) => world.addJob(one)))
  job = jobs[0]!
  server = servers[0]!
  const { db } = database
  await db
    .insertInto('projects')
    .values({ id: project, org_id: world.organization, name: 'p' })
    .execute()
  await sql`update servers set project_id = ${project}, environment = 'staging' where id = ${server}`.execute(
    db,
  )
  // One backup every half hour: more than a year of them.
  await sql`
    insert into backups (id, org_id, job_id, job_version, server_id, name, description, status, trigger, tags, external_id,
      bytes_source, created_at, started_at, completed_at)
    select gen_random_uuid(), j.org_id, j.id, 1, j.server_id, 'Backup ' || md5(n::text), md5('d' || n),
      (array['failed', 'canceled'])[1 + (n % 50 = 0)::int], (array['scheduled', 'manual'])[1 + (n % 40 = 0)::int],
      case when n % 48 = 0 then array['daily'] else array[]::text[] end, 'e' || n, n,
      at, at + interval '1 second', at + interval '1 minute'
    from generate_series(1, ${MANY}) n
    cross join lateral (select hf_now() - n * interval '30 minutes' as at) t
    join (select *, row_number() over () - 1 as place from jobs) j on j.place = n % 40`.execute(db)
  for (const table of ['backups', 'servers', 'jobs', 'job_versions'])
    await sql`vacuum analyze ${sql.table(table)}`.execute(db)
})

afterAll(async () => database.close())

/** The plans of every statement that one call of the list runs. */
const plansOf = async (query: Partial<BackupQuery>): Promise<string[]> => {
  const nodes: RootOperationNode[] = []
  const spy: KyselyPlugin = {
    transformQuery: ({ node }) => {
      // Whole statements are raw; the parts that they are made of pass here too.
      if (node.kind === 'RawNode') nodes.push(node)
      return node
    },
    transformResult: async ({ result }) => Promise.resolve(result),
  }
  const worldly = {
    sealing: sealing(secret(systemRandom(32)), systemRandom),
    clock: systemClock,
    random: systemRandom,
  }
  const { backups } = resourcesIn(database.db.withPlugin(spy), worldly)
  const caller: Caller = {
    organization: world.organization,
    token: id<'token'>(),
    name: 'test',
    scopes: ['read'],
    project: null,
    expiresAt: null,
  }
  await backups.list(caller, pageRequest(query), query)
  const plans: string[] = []
  for (const node of nodes) {
    const compiled = database.db.getExecutor().compileQuery(node, createQueryId())
    const rows = await database.sql.unsafe<{ 'QUERY PLAN': string }[]>(
      `explain ${compiled.sql}`,
      compiled.parameters as never[],
    )
    plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'))
  }
  return plans
}

const recently = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString()

/** Each filter with the value that a person would give it, and the index that is made for it. */
const filters = (): Readonly<Record<string, readonly [value: string, index: string]>> => ({
  job_id: [job, 'backups_by_job'],
  server_id: [server, 'backups_by_server'],
  project_id: [project, 'backups_by_server'],
  environment: ['staging', 'backups_by_server'],
  status: ['canceled', 'backups_by_status'],
  tag: ['daily', 'backups_by_tag'],
  trigger: ['manual', 'backups_by_trigger'],
  external_id: ['e4711', 'backups_by_external_id'],
  search: ['c4ca4238', 'backups_by_words'],
  created_after: [recently(1), 'backups_by_org'],
  created_before: [recently(410), 'backups_by_org'],
  started_since: [recently(1), 'backups_by_start'],
  completed_since: [recently(1), 'backups_by_end'],
})

test('every filter of the list of backups is served by an index, the count of it too', async () => {
  const known = Object.keys(BackupQuery.properties).filter((name) => !PAGING.includes(name))
  const tried = { ...filters(), job_version: ['1', 'backups_by_(version|job)'] as const }
  expect(Object.keys(tried).sort()).toEqual(known.sort())
  const unserved: string[] = []
  for (const [name, [value, index]] of Object.entries(tried)) {
    const query = name === 'job_version' ? { job_id: job, job_version: 1 } : { [name]: value }
    const plans = await plansOf(query)
    expect(plans).toHaveLength(2)
    const all = plans.join('\n')
    if (all.includes('Seq Scan on backups') || !new RegExp(index).test(all))
      unserved.push(`${name}, which ${index} is for:\n${all}`)
  }
  expect(unserved).toEqual([])
})

test('every order of it is that of an index: no page sorts more than its own rows', async () => {
  for (const [sort, index] of [
    ['created_at', 'backups_by_org'],
    ['name', 'backups_by_name'],
    ['status', 'backups_in_status'],
    ['size_bytes', 'backups_by_size'],
    ['completed_at', 'backups_by_end'],
  ] as const)
    for (const direction of ['', '-'] as const) {
      const [page = ''] = await plansOf({ sort: `${direction}${sort}` as const })
      expect(page).toMatch(new RegExp(`Index (Only )?Scan.* using ${index} on backups`))
      expect(page).not.toContain('Sort')
    }
})
