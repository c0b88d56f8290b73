import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Finding } from '#shared/api/findings.ts'
import type { Verification } from '#shared/api/verifications.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { BackupId } from '#shared/ids.ts'
import { KiB } from '#shared/units.ts'
import { affected } from '../../../soak/flip-oracle.ts'
import { dataOf } from '../../../support/answers.ts'
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

/** Objects that a backup needs: everything that is written before it, and its own record. */
const neededBy = ({ written }: { written: WrittenBackup }): Set<string> => {
  const nos = [
    ...written.files.flatMap(({ content, lists }) => [...content, ...lists]),
    ...[written.segments, written.fence, written.table].flat().map(({ locator }) => locator),
  ].map(([no]) => no)
  const keys = [...new Set(nos)].map((no) => vault.writer.store.placed.get(no)!.key)
  const own = [...vault.writer.objects.keys()].filter((key) => {
    const kind = parseKey(key)?.kind
    return kind === 'signer' || kind === 'key'
  })
  return new Set([...keys, ...own, written.key])
}

const keyOf = (kind: string): string =>
  [...neededBy(newer)].find((key) => parseKey(key)?.kind === kind)!

describe('a verification of the objects', () => {
  test('sees every one of a good backup, and is kept by level', async () => {
    const needed = neededBy(newer)
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

/** What may happen to an object; `older` is one of its kind. */
const DAMAGES: readonly (readonly [
  name: string,
  change: (bytes: Uint8Array, older: Uint8Array) => Uint8Array | null,
])[] = [
  ...[0, 20, 90, 200].map((at) => [`flip at ${at}`, flip(at)] as const),
  ['flip in the middle', (bytes) => flip(Math.floor(bytes.length / 2))(bytes)],
  ['flip at the end', (bytes) => flip(bytes.length - 1)(bytes)],
  ['cut', (bytes) => bytes.slice(0, bytes.length - 7)],
  ['lengthened', (bytes) => Buffer.concat([bytes, Buffer.alloc(5)])],
  ['emptied', () => new Uint8Array(1)],
  ['an older one replayed', (_, before) => before],
  ['removed', () => null],
]

describe.each(['pack', 'tree', 'record', 'signer', 'key'])('a damaged %s', (kind) => {
  test('is found by "full", and by "restore" with exactly the files concerned', async () => {
    const key = keyOf(kind)
    const good = vault.writer.objects.get(key)!
    const others = [...vault.writer.objects].filter(
      ([one]) => one !== key && parseKey(one)?.kind === kind,
    )
    // Of some kinds there is one only: then one of another kind lies in its place.
    const before = others[0]?.[1] ?? vault.writer.objects.get(keyOf('pack'))!
    for (const [name, change] of DAMAGES) {
      const bad = change(Uint8Array.from(good), before)
      await vault.spoil(key, bad === null ? null : () => bad)
      const now = new Map(vault.writer.objects)
      if (bad === null) now.delete(key)
      else now.set(key, bad)
      const full = await byHand('full', newer.id)
      expect({ kind, name, status: full.result!.status }).toEqual({ kind, name, status: 'failed' })
      const wanted = affected(
        { writer: vault.writer, backups: [older.written, newer.written] },
        newer.written,
        now,
      )
      const restore = await byHand('restore', newer.id)
      const named = namedBy(problemsOf(restore))
      expect({ kind, name, named }).toEqual({ kind, name, named: [...wanted].sort() })
    }
    await vault.heal(key)
    expect((await byHand('full', newer.id)).result!.status).toBe('passed')
  })
})

/** Every path of the backup that findings name or span. */
const namedBy = (problems: readonly Finding[]): string[] => {
  const paths = newer.written.files.map(
    ({ test: one }) => `${one.dir === '/' ? '' : one.dir}/${one.name}`,
  )
  const spanned = ({ path, to }: Finding, one: string): boolean => {
    if (path === null) return false
    if (to === undefined) return path === one
    return one >= path && (to === null || one < to)
  }
  return paths.filter((one) => problems.some((problem) => spanned(problem, one))).sort()
}
