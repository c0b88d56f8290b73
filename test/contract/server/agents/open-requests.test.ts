import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dispatchRestores } from '#server/flow/dispatch-runs.ts'
import { askForProofs } from '#server/flow/open-requests/prove.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import type { BackupId } from '#shared/ids.ts'
import { openProof, type RestoreStart } from '#shared/protocol/restore-orders.ts'
import { openIdKey, openWithSealed } from '#shared/read/handed.ts'
import { approvalOf, approve, requestOf } from '../../../support/approving.ts'
import { must } from '../../../support/agent-plane.ts'
import { dataOf } from '../../../support/answers.ts'
import {
  askRestore,
  codeOf,
  letGo,
  never,
  numbersOf,
  partsOf,
  restoringAgent,
  type RestoringAgent,
  runOf,
  shown,
} from '../../../support/restoring.ts'
import { seeded } from '../../../support/seeded.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'

let world: ReadingWorld
let parts: ReturnType<typeof partsOf>
let vault: StoredVault
let backup: BackupId
let agent: RestoringAgent

beforeAll(async () => {
  world = await readingWorld()
  parts = partsOf(world)
  vault = await storeVault(world, { key: 'customer', packTarget: 8192, chunk: 4096 })
  const random = seeded('opened for agents').bytes
  backup = (
    await vault.backup([
      directory('/d'),
      file('/d/one', random(20_000)),
      file('/d/two', random(20_000)),
    ])
  ).id
  agent = await restoringAgent(world, parts)
})
afterAll(async () => world.close())

let places = 0
/** A restore that waits for its approval, and the open request for it. */
const waiting = async (
  by: RestoringAgent,
  body: object = {},
): Promise<{ restore: string; request: string }> => {
  places += 1
  const restore = await askRestore(world, backup, {
    compute: { type: 'agent', server_id: by.server },
    target_path: `/place/${places}`,
    ...body,
  })
  const { open_request_id } = await shown(world, restore)
  return { restore, request: String(open_request_id) }
}
const approved = async (request: string): Promise<void> => {
  const answer = await approve(
    world.api,
    request,
    await approvalOf(world.api, request, vault.writer.identity),
  )
  expect(dataOf(answer)).toMatchObject({ status: 'approved' })
}
const offered = (by: RestoringAgent): RestoreStart[] =>
  by.orders.filter((order) => order.type === 'restore.start')

describe('packs of a customer’s key', () => {
  let order: RestoreStart
  let restore: string
  let request: string
  beforeAll(async () => {
    ;({ restore, request } = await waiting(agent))
  })
  afterAll(async () => letGo(world, agent, restore))

  test('are asked for nowhere before they are opened', async () => {
    expect(await dispatchRestores(parts, never)).toBe(0)
    expect(await shown(world, restore)).toMatchObject({ status: 'pending' })
    await approved(request)
    expect(await dispatchRestores(parts, never)).toBe(1)
    order = agent.last('restore.start')
    expect(order).toMatchObject({ run: restore, opening: request })
    await agent.tell({ type: 'restore.accepted', ...runOf(order) })
  })

  test('go to the agent as the holder of the key has sealed them; trees are opened here', async () => {
    const opener = { secret: agent.secret, opening: request }
    expect(openIdKey(opener, Buffer.from(order.sealed_id_key, 'base64url'))).toEqual(
      vault.writer.idKey,
    )
    const record = Buffer.from(order.record.sealed_file_key, 'base64url')
    openWithSealed(
      opener,
      { what: 'record', sealed: record },
      vault.writer.objects.get(order.record.key)!,
    )
    const wanted = await numbersOf(world, backup)
    const report = { type: 'packs.request' as const, ...runOf(order) }
    const answer = await agent.ask({ ...report, packs: wanted.map(({ no }) => no) })
    const given = await world.database.db
      .selectFrom('open_request_packs')
      .select(['pack_no', 'sealed_file_key'])
      .where('request_id', '=', request as never)
      .execute()
    const keys = new Map(given.map((row) => [row.pack_no, row.sealed_file_key!]))
    for (const pack of must(answer, 'packs.opened').packs) {
      const sealed = Buffer.from(pack.sealed_file_key, 'base64url')
      openWithSealed(opener, { what: pack.no, sealed }, vault.writer.objects.get(pack.key)!)
      const known = keys.get(pack.no)
      if (known !== undefined) expect(toBase64url(known)).toBe(pack.sealed_file_key)
    }
    expect(keys.size).toBe(wanted.filter(({ kind }) => kind === 'pack').length)
  })

  test('that were not asked for stay closed', async () => {
    const other = await restoringAgent(world, parts)
    const some = await waiting(other, { files: ['/d/one'] })
    const { packs, pack_count } = await requestOf(world.api, some.request)
    await approved(some.request)
    await dispatchRestores(parts, never)
    const start = other.last('restore.start')
    await other.tell({ type: 'restore.accepted', ...runOf(start) })
    const ask = async (no: number): Promise<{ type: string }> =>
      other.ask({ type: 'packs.request', ...runOf(start), packs: [no] })
    const all = (await numbersOf(world, backup)).filter(({ kind }) => kind === 'pack')
    const [closed] = all.filter(({ no }) => !packs.includes(no))
    expect(pack_count).toBeLessThan(all.length)
    must(await ask(packs[0]!), 'packs.opened')
    expect(codeOf(await ask(closed!.no))).toBe('KEY_REQUIRED')
    await letGo(world, other, some.restore)
  })

  test('are worth nothing to an agent that was enrolled anew', async () => {
    const before = await restoringAgent(world, parts)
    const { restore: lost, request: made } = await waiting(before)
    await approved(made)
    const after = await restoringAgent(world, parts, before.server)
    await dispatchRestores(parts, never)
    expect(offered(after)).toEqual([])
    expect(await shown(world, lost)).toMatchObject({
      status: 'failed',
      error: { code: 'KEY_REQUIRED' },
    })
  })
})

describe('the agent for which packs are opened', () => {
  const proved = async (by: RestoringAgent, request: string, forged = false): Promise<void> => {
    const order = by.orders.findLast((one) => one.type === 'open.prove' && one.request === request)
    if (order?.type !== 'open.prove') throw new Error('it was not asked to sign')
    const { opener } = await requestOf(world.api, request)
    const message = openProof(forged ? { ...order, purpose: 'verify' } : order, opener.key)
    const signature = toBase64url(by.signing.sign(message))
    await by.tell({ type: 'open.proof', request, signature })
  }

  test('signs that it asks, once a connection, and people see it', async () => {
    const by = await restoringAgent(world, parts)
    const { restore, request } = await waiting(by)
    for (let i = 0; i < 3; i += 1) await askForProofs(parts)
    const asked = by.orders.filter(({ type }) => type === 'open.prove')
    expect(asked).toHaveLength(1)
    const known = await requestOf(world.api, request)
    expect(asked[0]).toMatchObject({
      request,
      purpose: 'restore',
      backup,
      packs_sha256: known.packs_sha256,
      expires_at: Date.parse(known.expires_at),
    })
    expect(known.opener).not.toHaveProperty('signature')
    await by.reconnect()
    await askForProofs(parts)
    expect(by.orders.filter(({ type }) => type === 'open.prove')).toHaveLength(2)
    await proved(by, request)
    const { opener } = await requestOf(world.api, request)
    expect(opener).toMatchObject({
      type: 'agent',
      server_id: by.server,
      signing_key: toBase64url(by.signing.publicKey),
    })
    expect(opener.signature).toHaveLength(86)
    await by.reconnect()
    await askForProofs(parts)
    expect(by.orders.filter(({ type }) => type === 'open.prove')).toHaveLength(2)
    await letGo(world, by, restore)
  })

  test('signs for nobody else, and nothing else', async () => {
    const by = await restoringAgent(world, parts)
    const { restore, request } = await waiting(by)
    await askForProofs(parts)
    await proved(by, request, true)
    const signature = toBase64url(new Uint8Array(64))
    await agent.tell({ type: 'open.proof', request, signature })
    await agent.tell({ type: 'open.proof', request: backup, signature })
    expect((await requestOf(world.api, request)).opener).not.toHaveProperty('signature')
    await letGo(world, by, restore)
  })
})
