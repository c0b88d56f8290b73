import { type Selectable, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Schema } from '#server/io/db/schema.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import type { BackupId } from '#shared/ids.ts'
import {
  ageObject,
  FINISH,
  must,
  openNewVault,
  type Plane,
  startPlane,
  upload,
  wantedOf,
  writeBackup,
} from '../../../support/agent-plane.ts'
import {
  type AgentKeysAndState,
  connectAgent,
  newAgent,
  putGranted,
  type ScriptedAgent,
  type Unsent,
} from '../../../support/scripted-agent.ts'

let plane: Plane
beforeAll(async () => {
  plane = await startPlane()
})
afterAll(async () => plane.close())

type Enrolled = { readonly me: AgentKeysAndState; readonly agent: ScriptedAgent }

const enrol = async (): Promise<Enrolled> => {
  const server = await plane.world.addServer()
  const me = newAgent()
  const agent = connectAgent(plane.url, me, { token: await plane.world.addToken(server) })
  await agent.welcome
  return { me, agent }
}

const startBackup = async ({ me, agent }: Enrolled, job?: string): Promise<BackupStart> => {
  const server = me.server as Parameters<typeof plane.world.addJob>[0]
  const of = (job ?? (await plane.world.addJob(server))) as Parameters<
    typeof plane.world.addBackup
  >[0]
  const beatAgain = await agent.quiet()
  await plane.world.addBackup(of, server)
  const start = await agent.next('backup.start')
  agent.runs.push({ run: start.run, epoch: start.epoch })
  agent.tell({ type: 'backup.accepted', run: start.run, epoch: start.epoch })
  beatAgain()
  return start
}

const runOf = (start: BackupStart): { run: string; epoch: number } => ({
  run: start.run,
  epoch: start.epoch,
})

const rowOf = async (backup: string): Promise<Selectable<Schema['backups']>> =>
  plane.database.db
    .selectFrom('backups')
    .selectAll()
    .where('id', '=', backup as BackupId)
    .executeTakeFirstOrThrow()

const codeOf = (order: { type: string }): string => must(order, 'failed').problem.code

describe('a backup from enrolment to commit', () => {
  test('is stored, committed once, and its next one continues it', async () => {
    const enrolled = await enrol()
    const { me, agent } = enrolled
    const welcome = await agent.welcome
    expect(welcome.organization?.signing_key).toBe(
      Buffer.from(plane.world.organizationKey.publicKey).toString('base64url'),
    )
    expect(welcome.vaults).toHaveLength(1)
    const start = await startBackup(enrolled)
    expect(start).toMatchObject({ sequence: 1, parent: null, epoch: 1, vault: { is_new: true } })
    expect(start.vault.recipients).toEqual(welcome.vaults?.[0]?.recipients)
    await openNewVault(agent, me, [plane.world, start])
    const { packs } = await writeBackup(agent, start)
    const finish = { type: 'commit.finish', ...runOf(start), sequence: 1, ...FINISH } as const
    expect(await agent.ask(finish)).toMatchObject({ type: 'commit.done', sequence: 1 })
    expect(await agent.ask({ ...finish, epoch: 9 })).toMatchObject({
      type: 'commit.done',
      sequence: 1,
    })
    agent.runs = []
    expect(await rowOf(start.run)).toMatchObject({
      status: 'completed',
      sequence: 1,
      error_count: 0,
    })
    const refs = await plane.database.db
      .selectFrom('pack_refs')
      .select(['pack_no', 'from_seq', 'to_seq'])
      .where('job_id', '=', start.job as never)
      .orderBy('pack_no')
      .execute()
    expect(refs).toEqual(packs.map((pack_no) => ({ pack_no, from_seq: 1, to_seq: null })))

    const second = await startBackup(enrolled, start.job)
    expect(second).toMatchObject({
      sequence: 2,
      vault: { id: start.vault.id, is_new: false },
      parent: { backup: start.run, sequence: 1 },
      kept: [[1, 1]],
    })
    const next = await writeBackup(agent, second, 1)
    const errors = [{ path: '/data/gone', code: 'SOURCE_VANISHED', problem: 'it was removed' }]
    const over = { ...runOf(second), sequence: 2, error_count: 3, errors }
    const done = await agent.ask({ ...finish, ...over })
    expect(done).toMatchObject({ type: 'commit.done', sequence: 2 })
    expect(await rowOf(second.run)).toMatchObject({ status: 'partial', error_count: 3 })
    const lines = await plane.database.db
      .selectFrom('backup_logs')
      .select(['seq', 'level', 'message', 'fields'])
      .where('backup_id', '=', second.run as BackupId)
      .orderBy('seq')
      .execute()
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, n) => n + 1))
    expect(lines.slice(-5)).toMatchObject([
      { level: 'info', message: 'The agent works on it.' },
      {
        level: 'warn',
        message: '/data/gone: it was removed',
        fields: { path: '/data/gone', code: 'SOURCE_VANISHED' },
      },
      { level: 'warn', message: expect.stringMatching(/^2 more problems/) as unknown },
      {
        level: 'info',
        message: expect.stringMatching(/^1 files, .* 3 problems\. 10 B in/) as unknown,
      },
      { level: 'warn', message: expect.stringContaining('not all of it') as unknown },
    ])
    const open = await plane.database.db
      .selectFrom('pack_refs')
      .select('pack_no')
      .where('job_id', '=', start.job as never)
      .where('to_seq', 'is', null)
      .orderBy('pack_no')
      .execute()
    expect(open.map(({ pack_no }) => pack_no)).toEqual(next.packs)
    await agent.close()
  })

  test('leaves a hint beside the vault, below the prefix of the storage', async () => {
    const enrolled = await enrol()
    const start = await startBackup(enrolled)
    await openNewVault(enrolled.agent, enrolled.me, [plane.world, start])
    const store = await plane.parts.stores.open(plane.world.storage)
    const stop = new AbortController().signal
    const names = await Array.fromAsync(store.list(`vaults/${start.vault.id}/`, stop))
    expect(names.map((name) => name.split('/')[2])).toEqual(['keys', 'signers', 'vault.json'])
    await enrolled.agent.close()
  })
})

describe('an agent that asks for more than is its own', () => {
  let enrolled: Enrolled
  let start: BackupStart
  beforeAll(async () => {
    enrolled = await enrol()
    start = await startBackup(enrolled)
    await openNewVault(enrolled.agent, enrolled.me, [plane.world, start])
  })
  afterAll(async () => enrolled.agent.close())

  const numbers = async (count = 1): Promise<number> =>
    must(
      await enrolled.agent.ask({ type: 'numbers.request', ...runOf(start), count }),
      'numbers.given',
    ).first

  test('cannot use a grant for other bytes, for another key, or to overwrite', async () => {
    const object = ageObject('pack', await numbers(), start.vault.recipients.content)
    const [grant] = await upload(enrolled.agent, runOf(start), [object])
    expect(await putGranted(grant!, object.bytes)).toMatchObject({ status: 412 })
    const other = ageObject('pack', object.no, start.vault.recipients.content)
    expect((await putGranted(grant!, other.bytes)).status).toBeGreaterThanOrEqual(400)
    const elsewhere = { ...grant!, url: grant!.url.replace(/packs\/../, 'packs/zz') }
    expect(await putGranted(elsewhere, object.bytes)).toMatchObject({ status: 403 })
    const { 'if-none-match': condition, ...unconditional } = grant!.headers
    expect(condition).toBe('*')
    const bare = { ...grant!, headers: unconditional }
    expect(await putGranted(bare, object.bytes)).toMatchObject({ status: 403 })
    const hinted = { ...grant!, headers: { ...grant!.headers, 'x-amz-acl': 'public-read' } }
    expect((await putGranted(hinted, object.bytes)).status).toBeGreaterThanOrEqual(400)
  })

  test('gets the same key again for the same bytes, and none for others', async () => {
    const object = ageObject('pack', await numbers(), start.vault.recipients.content)
    const ask = { type: 'grants.request', ...runOf(start) } as const
    const first = must(
      await enrolled.agent.ask({ ...ask, objects: [wantedOf(object)] }),
      'grants.given',
    )
    const again = must(
      await enrolled.agent.ask({ ...ask, objects: [wantedOf(object)] }),
      'grants.given',
    )
    expect(again.grants[0]?.key).toBe(first.grants[0]?.key)
    const other = ageObject('pack', object.no, start.vault.recipients.content)
    expect(codeOf(await enrolled.agent.ask({ ...ask, objects: [wantedOf(other)] }))).toBe(
      'GRANT_REFUSED',
    )
    const asTree = { ...wantedOf(object), class: 'tree' as const }
    expect(codeOf(await enrolled.agent.ask({ ...ask, objects: [asTree] }))).toBe('GRANT_REFUSED')
  })

  test('gets numbers above those that it knows, which an older database forgot, and none of another epoch', async () => {
    const ask = { type: 'numbers.request', ...runOf(start) } as const
    const above = async (no: number, count = 1): Promise<number> =>
      must(await enrolled.agent.ask({ ...ask, count, above: no }), 'numbers.given').first
    const last = await numbers(5)
    // What it knows of was given: nothing changes.
    expect(await above(last + 4)).toBe(last + 5)
    expect(await above(1)).toBe(last + 6)
    // It was given in a time that this database does not remember.
    expect(await above(last + 1006, 3)).toBe(last + 1007)
    expect(await numbers()).toBe(last + 1010)
    expect(await above(last + 1011)).toBe(last + 1012)
    // Absurd, or of a catalog that is newer than this one: the agent sees that, and ends the run.
    for (const no of [last + 2 ** 25, last + 2 ** 32, Number.MAX_SAFE_INTEGER])
      expect(await above(no)).toBeLessThan(last + 1100)
  })

  test('gets nothing for numbers that it was not given, and no second genesis', async () => {
    const next = await numbers()
    const ask = { type: 'grants.request', ...runOf(start) } as const
    for (const no of [next + 1, 1, 2 ** 33 + 1])
      expect(
        codeOf(
          await enrolled.agent.ask({
            ...ask,
            objects: [{ ...wantedOf(ageObject('pack', no, start.vault.recipients.content)) }],
          }),
        ),
      ).toBe('GRANT_REFUSED')
    const signer = {
      class: 'signer',
      no: 0,
      size: 100,
      sha256: wantedOf(ageObject('pack', 1, start.vault.recipients.content)).sha256,
    } as const
    expect(codeOf(await enrolled.agent.ask({ ...ask, objects: [signer] }))).toBe('GRANT_REFUSED')
    const record = { ...signer, class: 'record', no: start.sequence } as const
    expect(codeOf(await enrolled.agent.ask({ ...ask, objects: [record] }))).toBe('GRANT_REFUSED')
  })

  test('changes nothing under an old epoch, or of another server', async () => {
    const stale = { run: start.run, epoch: start.epoch - 1 }
    const other = await enrol()
    const foreign = runOf(start)
    const reports = (run: { run: string; epoch: number }): Unsent[] => [
      { type: 'numbers.request', ...run, count: 1 },
      {
        type: 'grants.request',
        ...run,
        objects: [wantedOf(ageObject('pack', start.sequence, start.vault.recipients.content))],
      },
      { type: 'commit.page', ...run, page: 0, of: 1, kind: 'whole', packs: [] },
      { type: 'commit.finish', ...run, sequence: 1, ...FINISH },
      { type: 'backup.ended', ...run, status: 'failed', problem: { code: 'X', message: 'x' } },
      { type: 'log', ...run, level: 'info', message: 'x' },
    ]
    for (const report of reports(stale))
      expect(codeOf(await enrolled.agent.ask(report))).toBe('LEASE_LOST')
    for (const report of reports(foreign))
      expect(codeOf(await other.agent.ask(report))).toBe('RESOURCE_NOT_FOUND')
    expect(await rowOf(start.run)).toMatchObject({ status: 'running', lease_epoch: start.epoch })
    const pages = await sql`select 1 from commit_pages where backup_id = ${start.run}`.execute(
      plane.database.db,
    )
    expect(pages.rows).toEqual([])
    await other.agent.close()
  })

  test('cannot call an object stored that is not, or is another', async () => {
    const object = ageObject('pack', await numbers(), start.vault.recipients.content)
    const ask = { type: 'grants.request', ...runOf(start) } as const
    const { grants } = must(
      await enrolled.agent.ask({ ...ask, objects: [wantedOf(object)] }),
      'grants.given',
    )
    const said = { class: object.class, no: object.no, header: object.header }
    const stored = (over: object): Unsent => ({
      type: 'objects.stored',
      ...runOf(start),
      objects: [{ ...said, etag: 'x', ...over }],
    })
    expect(codeOf(await enrolled.agent.ask(stored({})))).toBe('UPLOAD_FAILED')
    const { etag } = await putGranted(grants[0]!, object.bytes)
    expect(codeOf(await enrolled.agent.ask(stored({})))).toBe('UPLOAD_FAILED')
    expect(codeOf(await enrolled.agent.ask(stored({ etag, header: '' })))).toBe('DAMAGED')
    expect(codeOf(await enrolled.agent.ask(stored({ etag, no: object.no + 5 })))).toBe(
      'GRANT_REFUSED',
    )
    must(await enrolled.agent.ask(stored({ etag })), 'objects.confirmed')
    must(await enrolled.agent.ask(stored({ etag: 'x' })), 'objects.confirmed')
  })
})
