import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PackRow } from '#shared/format/pack-table.ts'
import { GiB, KiB, MiB } from '#shared/units.ts'
import { stateFolder } from '#agent/io/state-folder.ts'
import type { LocalEntry } from '#agent/core/local-tree.ts'
import type { Ties } from '#agent/core/journal.ts'
import type { Stat } from '#agent/core/stat.ts'
import { openJournal, type Journal } from '#agent/flow/journal.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-journal-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const silent = { debug: () => undefined, info: () => undefined }
const warned: string[] = []
const idKey = randomBytes(32)

const openWith = async (
  known: ReadonlySet<number>,
  changed: Partial<Ties> = {},
): Promise<Journal> => {
  const row = (pack: number): PackRow | undefined =>
    known.has(pack) ? { pack, key: '', size: 1, sha256: '', headerHash: '' } : undefined
  const say = (_: object, message: string): void => {
    warned.push(message)
  }
  const world = {
    log: { ...silent, warn: say, error: say },
    turn: async () => await Promise.resolve(),
  }
  const ties = { idKey, vault: 'v', job: 'j', roots: ['/'], catalogEpoch: 1, ...changed }
  const parts = { state: stateFolder(folder), world, known: { row }, ties }
  return await openJournal({ ...parts, gcEpoch: 1, packBytes: MiB }, 'j')
}

const signature = { size: 10, mtimeMs: 1, ctimeMs: 2, dev: 3, ino: 4 }
const statOf = (size: number): Stat => ({ ...signature, size, mode: 0, uid: 0, gid: 0, nlink: 1 })

const entryOf = (name: string, pack: number, changes: Partial<LocalEntry> = {}): LocalEntry => ({
  dir: '/',
  name,
  line: 'its line',
  kind: 'file',
  hasContent: true,
  signature,
  uses: [[pack, 10]],
  needs: [[pack, 10]],
  ...changes,
})

const nameOf = (n: number): string => String(n).padStart(6, '0')
const find = (journal: Journal, name: string, size = 10): boolean =>
  journal.find({ dir: '/', name, stat: statOf(size) }) !== null

describe('a journal of finished files', () => {
  test('holds a file only once its packs are confirmed', async () => {
    const known = new Set([1])
    const journal = await openWith(known)
    journal.note(entryOf('a', 1))
    journal.note(entryOf('b', 2))
    journal.move()
    journal.close()
    // Even to a run that knows the pack.
    known.add(2)
    const next = await openWith(known)
    expect([find(next, 'a'), find(next, 'b')]).toEqual([false, false])
    next.note(entryOf('a', 1))
    next.move()
    next.note(entryOf('b', 2))
    next.move()
    next.close()
    const last = await openWith(known)
    expect([find(last, 'a'), find(last, 'b')]).toEqual([true, true])
    last.close()
    const without = await openWith(new Set([1]))
    expect([find(without, 'a'), find(without, 'b')]).toEqual([true, false])
    without.close()
  })

  test('holds nothing that is unsettled, that was not read, or of a later walk', async () => {
    const known = new Set([1])
    const journal = await openWith(known)
    journal.note(entryOf('a', 1, { signature: null }))
    journal.note(entryOf('b', 1, { needs: [] }))
    journal.rest()
    journal.note(entryOf('c', 1))
    journal.move()
    journal.close()
    const next = await openWith(known)
    expect(['a', 'b', 'c'].map((name) => find(next, name))).toEqual([false, false, false])
    next.close()
  })

  test.each<Partial<Ties>>([
    { idKey: randomBytes(32) },
    { vault: 'w' },
    { roots: ['/', '/a'] },
    { catalogEpoch: 2 },
  ])('of another vault, key, source or catalog is not believed, and goes', async (changed) => {
    const known = new Set([1])
    const journal = await openWith(known)
    journal.note(entryOf('a', 1))
    journal.move()
    journal.close()
    const other = await openWith(known, changed)
    expect(find(other, 'a')).toBe(false)
    other.close()
    expect(stateFolder(folder).list('jobs/j')).toEqual([])
  })

  test('of two runs is one, in which the newer entry counts', async () => {
    const known = new Set([1])
    const first = await openWith(known)
    for (const name of ['a', 'c', 'd']) first.note(entryOf(name, 1))
    first.move()
    first.close()
    const second = await openWith(known)
    second.note(entryOf('b', 1))
    second.note(entryOf('c', 1, { signature: { ...signature, size: 11 } }))
    second.move()
    second.close()
    const third = await openWith(known)
    expect(['a', 'b', 'c', 'd'].map((name) => find(third, name))).toEqual([true, true, false, true])
    third.close()
    const fourth = await openWith(known)
    expect(find(fourth, 'c', 11)).toBe(true)
    fourth.remove()
    expect(stateFolder(folder).list('jobs/j')).toEqual([])
  })

  test('asks for the tree pack that much content waits for, once', async () => {
    const known = new Set([1])
    const journal = await openWith(known)
    journal.note(entryOf('a', 2, { signature: { ...signature, size: GiB } }))
    expect([journal.wanted(), journal.wanted()]).toEqual([['tree'], []])
    known.add(2)
    journal.move()
    journal.note(entryOf('b', 3, { signature: { ...signature, size: GiB } }))
    expect(journal.wanted()).toEqual(['tree'])
    journal.close()
  })

  test('keeps little in memory, whatever waits', async () => {
    const known = new Set([1])
    const journal = await openWith(known)
    const noise = (): string => randomBytes(24 * KiB).toString('base64')
    for (let n = 0; n < 300; n += 1) journal.note(entryOf(nameOf(n), 2, { line: noise() }))
    expect(journal.wanted()).toEqual([])
    for (let n = 300; n < 1200; n += 1) journal.note(entryOf(nameOf(n), 2, { line: noise() }))
    expect(journal.wanted()).toEqual(['pack', 'tree'])
    known.add(2)
    journal.move()
    journal.close()
    const { size } = statSync(join(folder, 'jobs/j/finished-next'))
    expect(size).toBeGreaterThan(15 * MiB)
    expect(size).toBeLessThan(17 * MiB)
    const next = await openWith(known)
    expect([find(next, nameOf(0)), find(next, nameOf(1199))]).toEqual([true, false])
    next.close()
  })
})
