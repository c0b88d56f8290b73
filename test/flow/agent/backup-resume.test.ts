import {
  appendFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { systemClock } from '#agent/io/world.ts'
import { inlineSealers, type Rig } from '../../support/agent-backup.ts'
import {
  bytesOf,
  expectComplete,
  expectNothingLost,
  newRig,
} from '../../support/agent-backup-checks.ts'
import { counting, type Reads } from '../../support/agent-reads.ts'

const FILES = 32
const SIZE = MiB / 2
const ALL = FILES * SIZE
const PACK = MiB

const nameOf = (n: number): string => `folder ${String(n % 4)}/file ${String(n).padStart(3, '0')}`

/** Files in four folders, walked in the order of the folders. */
const fillMany = (r: Rig): void => {
  for (let n = 0; n < FILES; n += 1) {
    mkdirSync(join(r.source, `folder ${String(n % 4)}`), { recursive: true })
    writeFileSync(join(r.source, nameOf(n)), randomBytes(SIZE))
  }
}

const jobFolder = (r: Rig): string => {
  const [job] = readdirSync(join(r.state, 'jobs'))
  if (job === undefined) throw new Error('no job')
  return join(r.state, 'jobs', job)
}
const journalsOf = (r: Rig): string[] =>
  existsSync(join(r.state, 'jobs'))
    ? readdirSync(jobFolder(r)).filter((name) => name.startsWith('finished'))
    : []
const journalOf = (r: Rig): string => join(jobFolder(r), 'finished-next')

const stored = (r: Rig, kind: 'pack' | 'tree'): number[] =>
  [...r.cp.rows]
    .filter(([id, row]) => id.startsWith(`${kind} `) && row.state === 'stored')
    .map(([id]) => Number(id.slice(5)))
const storedPacks = (r: Rig): number[] => stored(r, 'pack')

/** Runs until it `isDue`, asked at every effect, and dies. */
const dieWhen = async (r: Rig, isDue: () => boolean): Promise<Reads> => {
  const reads = counting(inlineSealers(1))
  const get = (): number => (isDue() ? 0 : Infinity)
  Object.defineProperty(r.cp, 'dieAfter', { get, configurable: true })
  await expect(r.backup({ sealers: reads.sealers })).rejects.toThrow('the agent died')
  Object.defineProperty(r.cp, 'dieAfter', { value: Infinity, writable: true, configurable: true })
  return reads
}

/** Dies when so many more packs are stored. */
const dieAfterPacks = async (r: Rig, packs: number): Promise<Reads> => {
  const before = storedPacks(r).length
  return await dieWhen(r, () => storedPacks(r).length - before >= packs)
}

const backup = async (r: Rig): Promise<Reads> => {
  const reads = counting(inlineSealers(1))
  await r.backup({ sealers: reads.sealers })
  expectComplete(r)
  expectNothingLost(r)
  return reads
}

/** Killed at some 70 % of a first backup. */
const interrupted = async (): Promise<Rig> => {
  const r = newRig(PACK)
  fillMany(r)
  const reads = await dieAfterPacks(r, (0.7 * ALL) / PACK)
  expect(reads.bytes).toBeGreaterThan(0.7 * ALL)
  expect(journalsOf(r)).toEqual(['finished-next'])
  return r
}

/** What was on its way when the agent died: open packs and their records. */
const SLACK = 3 * MiB

describe('an interrupted first backup', () => {
  test('is gone on with: finished files are not read again, and nothing remains of the journal', async () => {
    const r = await interrupted()
    const { bytes } = await backup(r)
    expect(bytes).toBeLessThan(0.3 * ALL + SLACK)
    expect(bytes).toBeGreaterThan(0)
    expect(r.read().record.bytes).toMatchObject({ source: ALL, read: bytes })
    expect(r.read().record.counts).toMatchObject({ files: FILES })
    expect(journalsOf(r)).toEqual([])
    expect((await backup(r)).bytes).toBe(0)
  })

  test('may be interrupted again and again', async () => {
    const r = newRig(PACK)
    fillMany(r)
    for (let time = 0; time < 3; time += 1) await dieAfterPacks(r, 4)
    expect(journalsOf(r)).toEqual(['finished', 'finished-next'])
    // Of the four packs of a run, what lies in the last one or two may be read again.
    expect((await backup(r)).bytes).toBeLessThan(ALL - 3 * 2 * PACK)
    expect(journalsOf(r)).toEqual([])
  })

  test('keeps what an earlier run finished when a later one dies at once', async () => {
    const r = await interrupted()
    await dieAfterPacks(r, 1)
    await dieAfterPacks(r, 1)
    expect((await backup(r)).bytes).toBeLessThan(0.3 * ALL + SLACK)
  })

  test('reads a file again that has changed since, also one of the same size and time', async () => {
    const r = await interrupted()
    const [first, second] = [join(r.source, nameOf(0)), join(r.source, nameOf(4))]
    appendFileSync(first, '!')
    const { atime, mtime } = statSync(second)
    writeFileSync(second, randomBytes(SIZE))
    utimesSync(second, atime, mtime)
    const { paths } = await backup(r)
    expect([first, second].map((path) => paths.has(bytesOf(path)))).toEqual([true, true])
    expect(paths.has(bytesOf(join(r.source, nameOf(8))))).toBe(false)
  })

  test('reads a file again that was read within two seconds of its last change', async () => {
    const r = newRig(PACK)
    fillMany(r)
    Object.assign(r.cp, { dieAfter: 60 })
    await r.backup({ sealers: inlineSealers(1, () => systemClock.now()) }).catch(() => undefined)
    r.cp.dieAfter = Infinity
    expect(storedPacks(r).length).toBeGreaterThan(5)
    expect((await backup(r)).bytes).toBe(ALL)
  })

  test('reads again what lies in packs that are gone, are to be left, or are unknown', async () => {
    for (const lose of ['gone', 'retired', 'unknown', 'emptied'] as const) {
      const r = await interrupted()
      const packs = storedPacks(r)
      if (lose === 'gone') r.cp.gone.push(...packs.slice(0, 4))
      if (lose === 'retired') r.cp.retired.push(...packs.slice(0, 4))
      if (lose === 'emptied') r.cp.empty()
      if (lose === 'unknown') {
        const [vault] = readdirSync(join(r.state, 'vaults'))
        rmSync(join(r.state, 'vaults', vault ?? '', 'packs'))
      }
      const { bytes } = await backup(r)
      if (lose === 'gone' || lose === 'retired') {
        expect(bytes).toBeGreaterThanOrEqual(0.3 * ALL + 4 * PACK - SLACK)
        expect(bytes).toBeLessThan(ALL)
        const used = r.cp.commits.at(-1)?.live
        expect(packs.slice(0, 4).filter((no) => used?.has(no) === true)).toEqual([])
      } else expect(bytes).toBe(ALL)
    }
  })

  test('whose packs the store lost without a word is completed in a second pass', async () => {
    const r = await interrupted()
    for (const no of storedPacks(r).slice(0, 3)) r.cp.lose.add(no)
    const { bytes } = await backup(r)
    expect(r.cp.asked.filter((type) => type === 'commit.finish').length).toBe(2)
    expect(bytes).toBeLessThan(0.3 * ALL + 4 * PACK + SLACK)
  })

  test('takes large files with content lists over, and every name of a hard link', async () => {
    const r = newRig(PACK)
    const at = (name: string): string => join(r.source, name)
    mkdirSync(at('a'))
    writeFileSync(at('a/one'), randomBytes(SIZE))
    linkSync(at('a/one'), at('a/two'))
    // Over 64 pieces, most of them the same.
    const part = randomBytes(2 * MiB)
    for (let n = 0; n < 50; n += 1) appendFileSync(at('large'), part)
    mkdirSync(at('b'))
    for (let n = 0; n < 16; n += 1) writeFileSync(at(`b/${String(n)}`), randomBytes(SIZE))
    // So much is left that it is not over a few effects after the lists are stored.
    mkdirSync(at('c'))
    writeFileSync(at('c/last'), randomBytes(12 * MiB))
    let after = 0
    await dieWhen(r, () => {
      if (stored(r, 'tree').length > 0) after += 1
      return after > 6
    })
    expect(r.cp.asked.filter((type) => type.startsWith('commit.'))).toEqual([])
    const reads = counting(inlineSealers(1))
    await r.backup({ sealers: reads.sealers })
    const names = ['large', 'a/one', 'a/two', 'b/0']
    const again = names.filter((name) => reads.paths.has(bytesOf(at(name))))
    expect(again).toEqual([])
    const { entries } = r.read()
    for (const name of names)
      expect(entries.get(bytesOf(at(name)))?.content.equals(readFileSync(at(name)))).toBe(true)
    expect(entries.get(bytesOf(at('large')))?.entry.more).toBeDefined()
    const linked = entries.get(bytesOf(at('a/one')))?.entry.hardlink
    expect(linked).toBeDefined()
    expect(entries.get(bytesOf(at('a/two')))?.entry.hardlink).toBe(linked)
    expectNothingLost(r)
  })
})

describe('an interrupted later backup', () => {
  test('does not read again what it had read of the files that changed', async () => {
    const r = newRig(PACK)
    fillMany(r)
    await backup(r)
    for (let n = 0; n < FILES; n += 2) writeFileSync(join(r.source, nameOf(n)), randomBytes(SIZE))
    await dieAfterPacks(r, (0.35 * ALL) / PACK)
    rmSync(join(r.source, nameOf(2)))
    const { bytes } = await backup(r)
    expect(bytes).toBeLessThan(0.15 * ALL + SLACK)
    expect(r.read().record.counts).toMatchObject({ files: FILES - 1 })
  })
})

describe('a journal', () => {
  const spoil: Readonly<Record<string, (path: string, r: Rig) => void>> = {
    empty: (path) => truncateSync(path, 0),
    'of noise': (path) => writeFileSync(path, randomBytes(5000)),
    'whose head is damaged': (path) => flip(path, 21),
    'whose length is absurd': (path) => flip(path, 3),
  }
  const flip = (path: string, at: number): void => {
    const bytes = readFileSync(path)
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0x81, at)
    writeFileSync(path, bytes)
  }

  test.each(Object.keys(spoil))('%s costs only reading', async (how) => {
    const r = await interrupted()
    spoil[how]?.(journalOf(r), r)
    expect((await backup(r)).bytes).toBe(ALL)
    expect(journalsOf(r)).toEqual([])
  })

  test('that is torn or damaged in its middle is believed up to there', async () => {
    for (const how of ['torn', 'damaged'] as const) {
      const r = await interrupted()
      const path = journalOf(r)
      const { size } = statSync(path)
      if (how === 'torn') truncateSync(path, Math.floor(size / 2))
      else flip(path, Math.floor(size / 2))
      const { bytes } = await backup(r)
      expect(bytes).toBeGreaterThan(0.3 * ALL + 0.2 * ALL)
      expect(bytes).toBeLessThan(0.3 * ALL + 0.5 * ALL + SLACK)
    }
  })

  test('of other sources, of another machine or of deletions not yet told is not believed', async () => {
    const sources = await interrupted()
    const other = join(sources.folder, 'other')
    mkdirSync(other)
    const reads = counting(inlineSealers(1))
    const paths = [sources.source, other]
    await sources.backup({ sealers: reads.sealers, sources: [{ type: 'files', paths }] })
    expect(reads.bytes).toBe(ALL)

    const [here, there] = [await interrupted(), await interrupted()]
    cpSync(journalOf(there), journalOf(here))
    expect((await backup(here)).bytes).toBe(ALL)

    const back = await interrupted()
    back.cp.gcEpoch = 0
    expect((await backup(back)).bytes).toBe(ALL)

    const recovered = await interrupted()
    recovered.cp.catalogEpoch = 2
    expect((await backup(recovered)).bytes).toBe(ALL)
  })

  test('of a state folder that was put back costs a second pass at most', async () => {
    const r = await interrupted()
    const kept = join(r.folder, 'kept')
    cpSync(r.state, kept, { recursive: true })
    await backup(r)
    for (const no of storedPacks(r).slice(0, 4)) {
      const row = r.cp.rows.get(`pack ${String(no)}`)
      r.cp.rows.delete(`pack ${String(no)}`)
      r.cp.store.delete(row?.key ?? '')
    }
    rmSync(r.state, { recursive: true })
    cpSync(kept, r.state, { recursive: true })
    await backup(r)
  })
})
