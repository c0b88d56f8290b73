import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Finding } from '#shared/api/findings.ts'
import type { Verification } from '#shared/api/verifications.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { BackupId } from '#shared/ids.ts'
import { KiB } from '#shared/units.ts'
import { affected } from '../../../soak/flip-oracle.ts'
import { dataOf } from '../../../support/answers.ts'
import { namedBy, neededBy } from '../../../support/flip-verify.ts'
import { seeded } from '../../../support/seeded.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'
import {
  lastVerified,
  settledVerification,
  verifyBackup,
  verifyByHand,
} from '../../../support/verifying.ts'
import type { WrittenBackup } from '../../../support/vault-writer.ts'

let world: ReadingWorld
beforeAll(async () => {
  world = await readingWorld()
})
afterAll(async () => world.close())

const LONG = 3_600_000
const BYTES = ['objects', 'sample', 'full'] as const
const random = seeded('levels').bytes
const small = {
  entriesPerSegment: 4,
  itemsPerFence: 2,
  packTarget: 32 * KiB,
  chunk: 8 * KiB,
  frameTarget: 8 * KiB,
  listAbove: 8,
  locatorsPerList: 4,
} as const
const first = [
  directory('/d'),
  ...Array.from({ length: 10 }, (_, i) => file(`/d/f${i}`, Buffer.from(random(3 * KiB)))),
  file('/d/large', Buffer.from(random(120 * KiB))),
]
const second = [...first, file('/d/new', Buffer.from(random(5 * KiB)))]

let vault: StoredVault
let older: { id: BackupId; written: WrittenBackup }
let newer: { id: BackupId; written: WrittenBackup }
beforeAll(async () => {
  vault = await storeVault(world, small)
  older = await vault.backup(first)
  newer = await vault.backup(second)
})

const flip =
  (at: number) =>
  (bytes: Uint8Array): Uint8Array => {
    bytes[at]! ^= 1
    return bytes
  }

const byHand = async (
  level: 'objects' | 'sample' | 'full' | 'restore',
  backup: BackupId,
): Promise<Verification> => (await verifyByHand(world, backup, level)).turn(LONG)

const problemsOf = ({ result }: Verification): readonly Finding[] => result!.problems

/** Every file of the backup with content in the pack. */
const filesIn = ({ files }: WrittenBackup, no: number): string[] =>
  files
    .filter(({ content, lists }) => [...content, ...lists].some(([pack]) => pack === no))
    .map(({ test: one }) => `${one.dir === '/' ? '' : one.dir}/${one.name}`)
    .sort()

const keyOf = (kind: string): string =>
  [...neededBy(vault.writer, newer.written)].find((key) => parseKey(key)?.kind === kind)!

describe('a verification of the objects', () => {
  test('sees every one of a good backup, and is kept by level', async () => {
    const needed = neededBy(vault.writer, newer.written)
    const bytes = [...needed].reduce((sum, key) => sum + vault.writer.objects.get(key)!.length, 0)
    for (const level of BYTES) {
      expect(await lastVerified(world, newer.id, level)).toBeNull()
      const { id, status, error, result, progress } = await verifyBackup(world, newer.id, level)
      expect([level, status, error]).toEqual([level, 'completed', null])
      expect(result).toMatchObject({ status: 'passed', problem_count: 0, problems: [] })
      // Too few for a sample: it is all of them.
      expect(result).toMatchObject({ objects: needed.size, bytes, files: 0 })
      expect(progress.bytes_done).toBe(bytes)
      expect(await lastVerified(world, newer.id, level)).toMatchObject({ verification_id: id })
    }
    expect(await lastVerified(world, newer.id)).toBeNull()
  })

  test('needs no key of the content', async () => {
    const own = await storeVault(world, { ...small, key: 'customer' })
    const { id } = await own.backup(first)
    for (const level of BYTES)
      expect((await verifyBackup(world, id, level)).result?.status).toBe('passed')
  })

  test('names the files and the backups that need a damaged pack', async () => {
    const inOld = older.written.files.find(({ test: one }) => one.name === 'f3')!.content[0]![0]
    const { key } = vault.writer.store.placed.get(inOld)!
    await vault.spoil(key, flip(vault.writer.objects.get(key)!.length - 1))
    for (const level of ['objects', 'full'] as const) {
      const { result } = await byHand(level, newer.id)
      expect(result?.problem_count).toBe(1)
      const [found] = result!.problems
      expect(found).toMatchObject({ path: null, code: 'DAMAGED', object: key })
      expect(found!.files!.toSorted()).toEqual(filesIn(newer.written, inOld))
      expect(found!.file_count).toBe(found!.files!.length)
      expect(found!.backups).toEqual([newer.id, older.id])
      expect(found!.backup_count).toBe(2)
    }
    await vault.heal(key)
  })

  test('names what is lost with a tree, and the whole backup where its record or chain is lost', async () => {
    const tree = newer.written.segments[1]!.locator[0]
    const { key } = vault.writer.store.placed.get(tree)!
    await vault.spoil(key, null)
    const lost = problemsOf(await byHand('full', newer.id))
    expect(lost[0]).toMatchObject({ code: 'MISSING_OBJECT', object: key })
    expect(lost.slice(1).every((one) => one.path !== null && one.to !== undefined)).toBe(true)
    expect(lost.length).toBeGreaterThan(1)
    await vault.heal(key)
    for (const kind of ['record', 'signer', 'key']) {
      await vault.spoil(keyOf(kind), null)
      for (const level of ['objects', 'full', 'restore'] as const)
        expect({ kind, level, found: problemsOf(await byHand(level, newer.id)) }).toMatchObject({
          ...{ kind, level },
          found: [{ path: '/', to: null, code: 'MISSING_OBJECT' }],
        })
      await vault.heal(keyOf(kind))
    }
  })

  test('goes on where it stopped, and counts nothing twice', async () => {
    for (const level of ['full', 'restore'] as const) {
      const whole = await byHand(level, newer.id)
      const { turn } = await verifyByHand(world, newer.id, level)
      let turns = 1
      let shown = await turn(0)
      expect([level, shown.status]).toEqual([level, 'running'])
      while (shown.status === 'running' && turns < 500) {
        turns += 1
        shown = await turn(0)
      }
      expect([level, shown.result]).toEqual([level, whole.result])
      expect(turns).toBeGreaterThan(5)
    }
  })

  test('is given back after its turn, and ended by whoever comes next', async () => {
    for (const level of ['full', 'restore'] as const) {
      const whole = await byHand(level, newer.id)
      const { id, turn } = await verifyByHand(world, newer.id, level, { givesBack: true })
      expect((await turn(0)).result).toBeNull()
      const { result, error } = await settledVerification(world, id)
      expect([level, error, result]).toEqual([level, null, whole.result])
    }
  })

  test('does not look again at what it has looked at before it was interrupted', async () => {
    const { turn } = await verifyByHand(world, newer.id, 'full')
    await turn(0)
    const record = newer.written.key
    const signer = keyOf('signer')
    await vault.spoil(signer, null)
    expect((await turn(LONG)).result).toMatchObject({ status: 'passed' })
    await vault.heal(signer)
    expect(record).not.toBe(signer)
  })

  test('lists by storage, for those who may see them', async () => {
    const url = `/v1/storages/${world.storage}/verifications`
    const { body } = await world.api.call('GET', `${url}?level=full&status=completed&limit=2`)
    const rows = body['data'] as Verification[]
    expect(rows).toHaveLength(2)
    for (const row of rows) expect([row.level, row.status]).toEqual(['full', 'completed'])
    expect(dataOf(await world.api.call('GET', `${url}?level=sample&status=failed`))).toEqual([])
  })
})

describe.each(['pack', 'tree', 'record', 'signer', 'key'])('a damaged %s', (kind) => {
  // Whatever else may happen to it: test/flow/server/verify-damage.test.ts.
  test('is found by "full", and by "restore" with exactly the files concerned', async () => {
    const key = keyOf(kind)
    const bad = flip(vault.writer.objects.get(key)!.length - 1)(
      Uint8Array.from(vault.writer.objects.get(key)!),
    )
    await vault.spoil(key, () => bad)
    const now = new Map(vault.writer.objects).set(key, bad)
    expect((await byHand('full', newer.id)).result!.status).toBe('failed')
    const all = { writer: vault.writer, backups: [older.written, newer.written] }
    const wanted = affected(all, newer.written, now)
    const named = namedBy(newer.written, problemsOf(await byHand('restore', newer.id)))
    expect(named.sort()).toEqual([...wanted].sort())
    await vault.heal(key)
    expect((await byHand('full', newer.id)).result!.status).toBe('passed')
  })
})
