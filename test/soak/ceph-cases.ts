/** What `ceph` tries, one after the other, on one cluster. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { httpPut } from '#agent/io/http-put.ts'
import { systemClock } from '#server/io/clock.ts'
import { systemRandom } from '#server/io/random.ts'
import { createSigner } from '#server/io/s3/sign.ts'
import { type Ms, MiB, MINUTE } from '#shared/units.ts'
import { endToEnd } from '../support/end-to-end.ts'
import { replayAtWrongTime, replayGrant, type ReplayPlace } from '../support/grant-replay.ts'
import { ended } from '../support/instance.ts'
import type { Seeded } from '../support/seeded.ts'
import { signedAt, type UsedGrant, usedGrants } from '../support/used-grants.ts'
import { sendOnWire } from '../support/wire-request.ts'
import { BUCKET, type CephWorld, REGION } from './ceph-world.ts'
import type { CaseResult } from './check.ts'
import { makeSource } from './kill-source.ts'

type Outcome = Omit<CaseResult, 'kind'>
export type CephCase = (world: CephWorld, chance: Seeded) => Promise<Outcome>

const root = fileURLToPath(new URL('../..', import.meta.url))
const stop = new AbortController().signal
/** A grant's time is over after 15 minutes; so far the clocks are apart. */
const APART: Ms = 16 * MINUTE
/** Grants that are older than this are over by any clock. */
const OLDEST: Ms = 14 * MINUTE

/** The sentences of an object store, by the same runner and in the same words as in `npm test`. */
const contract: CephCase = async ({ ceph }) => {
  const { accessKeyId, secretAccessKey } = ceph.keys
  const user = `${encodeURIComponent(accessKeyId)}:${encodeURIComponent(secretAccessKey)}`
  const url = `http://${user}@127.0.0.1:${ceph.port}/${BUCKET}`
  const config = ['run', '--config', 'test/vitest.config.ts']
  const args = ['node_modules/vitest/vitest.mjs', ...config]
  const child = spawn(process.execPath, [...args, 'test/contract/object-store-elsewhere.test.ts'], {
    cwd: root,
    env: { ...process.env, HOLDFAST_TEST_S3: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => (said += data.toString()))
  const code = await ended(child)
  const [line = '', passed = '0', failed = '?', skipped = '0'] =
    /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\n$/.exec(said) ?? []
  const well = code === 0 && Number(passed) > 0 && failed === '0' && skipped === '0'
  return { violations: well ? [] : [line, said.slice(-6000)], facts: { sentences: passed } }
}

type Trial = {
  readonly steps: readonly { step: string; status: string; problem: string | null }[]
  readonly capabilities: Readonly<Record<string, unknown>>
}

/** What the product finds out about the storage, and that it leaves nothing behind. */
const probing: CephCase = async (world) => {
  const id = await world.addStorage('probed', false)
  const answer = await world.instance.call('POST', `/v1/storages/${id}/test`)
  const { steps, capabilities } = answer['data'] as Trial
  const left = await Array.fromAsync(world.storeAt('probed').list('', stop))
  // Ceph 16 acts on headers that nobody signed, and the probe is to say so.
  const expected = (step: string): string => (step === 'grant' ? 'warning' : 'passed')
  const wrong = steps.filter(({ step, status }) => status !== expected(step))
  return {
    violations: [
      ...left.map((key) => `the probe left ${key}`),
      ...wrong.map(({ step, status, problem }) => `${step}: ${status}: ${problem ?? ''}`),
    ],
    facts: { version: world.ceph.version, found: JSON.stringify(capabilities) },
  }
}

const freshFolder = (world: CephWorld, name: string): string =>
  mkdtempSync(join(world.folder, `${name}-`))

/** Three backups of a changing folder, restored from what the bucket holds. */
const wholeWay = async (world: CephWorld, chance: Seeded, recorded: boolean): Promise<string[]> => {
  const folder = freshFolder(world, 'way')
  const name = folder.slice(folder.lastIndexOf('/') + 1)
  const { instance } = world
  const storage = await world.addStorage(name, recorded)
  const source = makeSource(join(folder, 'source'), chance)
  const how = recorded ? { storage, url: world.plane.url } : { storage }
  const agent = await instance.protect(name, [source.folder], how)
  const other = await instance.protect(`${name}-other`, [join(folder, 'nothing')], how)
  const out = join(folder, 'out')
  mkdirSync(out)
  try {
    return await endToEnd({
      instance,
      agent,
      other,
      source: source.folder,
      change: () => source.change(chance),
      store: world.storeAt(name),
      folder: out,
    })
  } finally {
    for (const one of [agent, other]) {
      one.agent.kill('SIGTERM')
      await ended(one.agent)
    }
  }
}

const backups: CephCase = async (world, chance) => ({
  violations: await wholeWay(world, chance, false),
  facts: Object.fromEntries(
    Object.entries(await world.ceph.usage()).map(([part, bytes]) => [
      `${part}_MiB`,
      Math.round(bytes / MiB),
    ]),
  ),
})

const prefixOf = ({ grant }: UsedGrant): string =>
  new URL(grant.url).pathname.slice(`/${BUCKET}/`.length, -grant.key.length - 1)

const placeOf = (world: CephWorld, use: UsedGrant, chance: Seeded): ReplayPlace => {
  const prefix = prefixOf(use)
  return {
    send: async (request) => sendOnWire(world.ceph.port, request),
    store: world.storeAt(prefix),
    bucket: BUCKET,
    lax: true,
    pathOf: (key) => `/${BUCKET}/${prefix}/${key}`,
    chance,
  }
}

/** One of each class, and some more: each takes some two hundred requests. */
const chosenGrants = (used: readonly UsedGrant[], chance: Seeded): readonly UsedGrant[] => {
  const classes = new Map(used.map((use) => [use.wanted.class, use]))
  const more = Array.from({ length: 3 }, () => chance.pick(used))
  return [...new Set([...classes.values(), ...more])]
}

/** Grants of a run that was recorded, used again in every way that they are not for. */
const grants: CephCase = async (world, chance) => {
  const violations = await wholeWay(world, chance, true)
  const used = usedGrants(world)
  const statuses: Record<string, number> = {}
  for (const use of chosenGrants(used, chance)) {
    const result = await replayGrant(placeOf(world, use, chance), use, used)
    violations.push(...result.violations)
    for (const [status, count] of Object.entries(result.statuses))
      statuses[status] = (statuses[status] ?? 0) + count
  }
  return { violations, facts: { grants: used.length, answers: JSON.stringify(statuses) } }
}

/** The same PUT as a recorded one, signed by the product's own signer at another time. */
const signedElsewhen = (world: CephWorld, use: UsedGrant, time: Ms): UsedGrant => {
  const { host, origin } = new URL(use.grant.url)
  const { keys } = world.ceph
  const place = { origin, host, base: `/${BUCKET}/`, region: REGION, createOnly: true }
  const key = `${prefixOf(use)}/${use.grant.key}`
  const { size, sha256 } = use.wanted
  const signed = createSigner(place, keys)({ key, size, sha256 }, time, time)
  return { ...use, grant: { ...use.grant, headers: signed.headers } }
}

/** Signed 16 minutes back, and 16 minutes ahead: refused; signed now: taken, so that the signer is not what is refused. */
const wrongTime: CephCase = async (world, chance) => {
  const used = usedGrants(world)
  const violations: string[] = []
  for (const use of chosenGrants(used, chance)) {
    const place = placeOf(world, use, chance)
    for (const [name, shift] of [
      ['16 minutes late', -APART],
      ['16 minutes early', APART],
    ] as const) {
      const late = signedElsewhen(world, use, Date.now() + shift)
      violations.push(...(await replayAtWrongTime(place, late, name)).violations)
      const right = signedElsewhen(world, use, Date.now()).grant.headers
      const { pathname } = new URL(use.grant.url)
      const request = { method: 'PUT', url: pathname, headers: right, body: use.body }
      const { status } = await place.send(request)
      if (status !== 200) violations.push(`signed now: ${status}`)
    }
  }
  return { violations, facts: { grants: used.length } }
}

/** The gateway's own clock is another one: recorded grants end by it, and the product works by it. */
const otherClock =
  (shift: Ms): CephCase =>
  async (world, chance) => {
    const used = usedGrants(world).filter((use) => Date.now() - signedAt(use) < OLDEST)
    const violations: string[] = []
    await world.ceph.restartGateway(shift)
    try {
      for (const use of used.length === 0 ? [] : chosenGrants(used, chance)) {
        const place = placeOf(world, use, chance)
        const { violations: found } = await replayAtWrongTime(place, use, `${shift / MINUTE} min`)
        violations.push(...found)
        await place.store.put(use.grant.key, use.body, { ifAbsent: true }, stop)
      }
      violations.push(...(await wholeWay(world, chance, false)))
    } finally {
      await world.ceph.restartGateway(0)
    }
    return { violations, facts: { grants: used.length, minutes: shift / MINUTE } }
  }

/** What the agent's own client makes of a refusal that comes before the body is through. */
const refusedUpload: CephCase = async (world) => {
  const store = world.storeAt('refused')
  const body = systemRandom(16 * MiB)
  const sha256 = createHash('sha256').update(body).digest('base64url')
  const object = { key: 'vaults/refused', size: body.length, sha256 }
  const good = store.sign(object)
  const client = httpPut()
  const violations: string[] = []
  const put = async (what: string, headers: Readonly<Record<string, string>>): Promise<unknown> => {
    const grant = { ...good, no: 1, key: object.key, expires_at: good.expiresAt, headers }
    const outcome = await client.upload({ ...grant, headers: { ...headers } }, body, stop)
    return { what, ...outcome }
  }
  const date = new Date(systemClock.now() - APART).toISOString().replace(/[-:]|\.\d{3}/g, '')
  for (const [what, headers] of [
    ['another date', { ...good.headers, 'x-amz-date': date }],
    ['another signature', { ...good.headers, authorization: flipLast(good.headers) }],
  ] as const) {
    const outcome = await put(what, headers)
    if ((outcome as { regrant?: boolean }).regrant !== true)
      violations.push(JSON.stringify(outcome))
  }
  const well = await put('rightly', good.headers)
  if ((well as { done: string }).done !== 'stored') violations.push(JSON.stringify(well))
  client.close()
  await store.remove([object.key], stop)
  return { violations }
}

const flipLast = (headers: Readonly<Record<string, string>>): string =>
  (headers['authorization'] ?? '').replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))

export const CASES: readonly (readonly [string, CephCase])[] = [
  ['contract', contract],
  ['probe', probing],
  ['backups', backups],
  ['refused upload', refusedUpload],
  ['grants', grants],
  ['grants signed at another time', wrongTime],
  ['gateway 16 min ahead', otherClock(APART)],
  // Further back: the recorded grants have some minutes behind them by then.
  ['gateway 30 min behind', otherClock(-APART - OLDEST)],
]
