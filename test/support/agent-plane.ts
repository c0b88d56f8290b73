/** The control plane's side of agents with nothing left out: PostgreSQL, S3, the WebSocket endpoint, the dispatcher. */
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { agentGate } from '#server/entry/agents.ts'
import { buildApp } from '#server/entry/http/app.ts'
import { type Dispatcher, startDispatcher } from '#server/entry/dispatcher.ts'
import type { AgentParts, Timing } from '#server/flow/agent-parts.ts'
import { systemRandom } from '#server/io/random.ts'
import { encodeGenesis } from '#shared/format/signers.ts'
import { parseHeader, seal } from '#shared/format/age.ts'
import { parseRecipient } from '#shared/format/keys.ts'
import type { BackupStart, Grant, Orders } from '#shared/protocol/orders.ts'
import type { Counts, ObjectClass, Wanted } from '#shared/protocol/reports.ts'
import { createHash } from 'node:crypto'
import { agentPartsIn, makeWorld, TEST_TIMING, type World } from './agent-world.ts'
import { type TestDatabase, testDatabase } from './database-template.ts'
import { startS3, type TestS3 } from './s3-server.ts'
import { type AgentKeysAndState, putGranted, type ScriptedAgent } from './scripted-agent.ts'

export type Plane = {
  readonly world: World
  readonly database: TestDatabase
  readonly s3: TestS3
  readonly parts: AgentParts & { close(): void }
  readonly dispatcher: Dispatcher
  readonly url: string
  /** Ends this replica alone, as a crash would not: connections are told. */
  stop(): Promise<void>
  close(): Promise<void>
}

const startReplica = async (
  parts: Plane['parts'],
): Promise<Pick<Plane, 'url' | 'dispatcher' | 'stop'>> => {
  const dispatcher = await startDispatcher(parts)
  const gate = agentGate(parts, () => dispatcher.wake())
  const tokens = { find: async () => Promise.resolve(null) }
  const http = { tokens, log: parts.log, requestsPerMinute: 1000, makeRequestId: () => 'request' }
  const app = await buildApp(http, [gate.routes])
  const port = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
  return {
    url: `ws://127.0.0.1:${port}/v1/agent/connect`,
    dispatcher,
    stop: async () => {
      await dispatcher.close()
      await app.close()
      parts.close()
    },
  }
}

export const startPlane = async (timing: Timing = TEST_TIMING): Promise<Plane> => {
  const database = await testDatabase()
  const s3 = await startS3()
  await s3.client().send(new CreateBucketCommand({ Bucket: 'vaults' }))
  const world = await makeWorld(database, s3.endpoint)
  const parts = agentPartsIn(world, timing)
  const replica = await startReplica(parts)
  return {
    world,
    database,
    s3,
    parts,
    ...replica,
    close: async () => {
      await replica.stop()
      await s3.close()
      await database.close()
    },
  }
}

/** A second replica on the same database and storage. */
export const startSecond = async (
  plane: Plane,
  other: Partial<AgentParts> = {},
): Promise<Pick<Plane, 'url' | 'stop' | 'parts'>> => {
  const parts = { ...agentPartsIn(plane.world, plane.parts.timing), ...other }
  return { parts, ...(await startReplica(parts)) }
}

export const sha256 = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('base64url')

export const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')

export const NO_COUNTS: Counts = {
  files: 1,
  directories: 1,
  others: 0,
  changed: 1,
  unchanged: 0,
  skipped: 0,
  errors: 0,
}

export const FINISH = {
  counts: NO_COUNTS,
  bytes_source: 10,
  bytes_new: 10,
  bytes_stored: 10,
  error_count: 0,
  errors: [],
}

/** An object as an agent has it before it is put. */
export type TestObject = {
  readonly class: ObjectClass
  readonly no: number
  readonly bytes: Uint8Array
  readonly header: string
}

export const ageObject = (
  kind: ObjectClass,
  no: number,
  recipients: readonly string[],
): TestObject => {
  const bytes = seal({
    plaintext: systemRandom(500),
    fileKey: systemRandom(16),
    nonce: systemRandom(16),
    recipients: recipients.map(parseRecipient),
    ephemerals: recipients.map(() => systemRandom(32)),
  })
  const header = bytes.subarray(0, parseHeader(bytes).headerLength + 16)
  return { class: kind, no, bytes, header: base64url(header) }
}

export const wantedOf = ({ class: kind, no, bytes }: TestObject): Wanted => ({
  class: kind,
  no,
  size: bytes.length,
  sha256: sha256(bytes),
})

export const must = <T extends keyof Orders>(order: { type: string }, type: T): Orders[T] => {
  if (order.type !== type) throw new Error(`expected ${type}, got ${JSON.stringify(order)}`)
  return order as Orders[T]
}

/** Asks for grants, puts, and reports as stored. */
export const upload = async (
  agent: Pick<ScriptedAgent, 'ask'>,
  run: { readonly run: string; readonly epoch: number },
  objects: readonly TestObject[],
): Promise<readonly Grant[]> => {
  const answer = await agent.ask({
    type: 'grants.request',
    ...run,
    objects: objects.map(wantedOf),
  })
  const { grants } = must(answer, 'grants.given')
  const stored: { class: ObjectClass; no: number; etag: string; header: string }[] = []
  for (const [place, object] of objects.entries()) {
    const { status, etag } = await putGranted(grants[place]!, object.bytes)
    if (status !== 200) throw new Error(`PUT of ${object.class} ${object.no}: ${status}`)
    stored.push({ class: object.class, no: object.no, etag, header: object.header })
  }
  must(await agent.ask({ type: 'objects.stored', ...run, objects: stored }), 'objects.confirmed')
  return grants
}

const genesisOf = (
  me: Pick<AgentKeysAndState, 'signing'>,
  [world, start]: readonly [World, BackupStart],
): Uint8Array =>
  encodeGenesis(
    {
      vault: start.vault.id,
      recipients: start.vault.recipients,
      agentKey: base64url(me.signing.publicKey),
      organizationKey: base64url(world.organizationKey.publicKey),
      created: Date.now(),
    },
    (bytes) => me.signing.sign(bytes),
  )

/** Writes signer 0 and key 0 of a new vault, or of one that lost them, and reports it opened. */
export const openNewVault = async (
  agent: Pick<ScriptedAgent, 'ask'>,
  me: Pick<AgentKeysAndState, 'signing'>,
  [world, start]: readonly [World, BackupStart],
  before?: Uint8Array,
): Promise<Uint8Array> => {
  const genesis = before ?? genesisOf(me, [world, start])
  const { content, recovery } = start.vault.recipients
  const run = { run: start.run, epoch: start.epoch }
  await upload(agent, run, [
    { class: 'signer', no: 0, bytes: genesis, header: '' },
    ageObject('key', 0, [...content, ...recovery]),
  ])
  const opened = await agent.ask({
    type: 'vault.opened',
    ...run,
    vault: start.vault.id,
    genesis: base64url(genesis),
  })
  must(opened, 'objects.confirmed')
  return genesis
}

/** Numbers, packs and a tree, then the pages and the record: all but `commit.finish`. */
export const writeBackup = async (
  agent: Pick<ScriptedAgent, 'ask'>,
  start: BackupStart,
  count = 2,
): Promise<{ readonly packs: readonly number[]; readonly grants: readonly Grant[] }> => {
  const run = { run: start.run, epoch: start.epoch }
  const numbers = must(
    await agent.ask({ type: 'numbers.request', ...run, count: count + 1 }),
    'numbers.given',
  )
  const { content, recovery, list } = start.vault.recipients
  const packs = Array.from({ length: count }, (_, i) => numbers.first + i)
  const tree = numbers.first + count
  const grants = await upload(agent, run, [
    ...packs.map((no) => ageObject('pack', no, [...content, ...recovery])),
    ageObject('tree', tree, [...content, ...recovery, ...list]),
  ])
  const live = [...packs, tree].map((no): [number, number] => [no, 400])
  must(
    await agent.ask({ type: 'commit.page', ...run, page: 0, of: 1, kind: 'whole', packs: live }),
    'commit.taken',
  )
  await upload(agent, run, [
    ageObject('record', start.sequence, [...content, ...recovery, ...list]),
  ])
  return { packs: [...packs, tree], grants }
}
