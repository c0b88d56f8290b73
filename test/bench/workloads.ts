/** The workloads that the benchmark makes itself, each from a seed and as large as `scale` says. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UNSETTLED } from '#agent/core/stat.ts'
import { MiB } from '#shared/units.ts'
import { type Seeded, seeded } from '../support/seeded.ts'
import { compare, type Subject } from './compare.ts'
import {
  binaryBlocks,
  code,
  drawsOf,
  editLarge,
  makeFiles,
  prose,
  writeDump,
  writeLarge,
} from './inputs.ts'
import { holdingsOf } from './measure.ts'
import type { BenchReport, BenchSettings } from './report.ts'

type Making = { readonly folder: string; readonly scale: number; readonly chance: Seeded }

type Workload = {
  readonly says: string
  make(making: Making): void
  /** Before the second backup; null: nothing changes. */
  readonly change: ((making: Making) => void) | null
}

const scaled = (size: number, scale: number): number => Math.max(1, Math.round(size * scale))

const SMALL_FILES = 100_000
const SOURCE_FILES = 30_000
/** One file in so many of a source tree is a copy of another: vendored packages. */
const COPIES = 10
const BINARY_BYTES = 1024 * MiB
const NOISE_FILES = 16
const NOISE_BYTES = 64 * MiB
const DUMP_BYTES = 512 * MiB
/** One row is new after so many old ones. */
const INSERTED = 500
const EMPTY_FILES = 1_000_000

const fileOf = (folder: string): string => join(folder, 'file')

const small: Workload = {
  says: '100,000 small files of text, up to 8 KiB',
  make: ({ folder, scale, chance }) => {
    const draw = drawsOf(chance)
    const text = prose(draw)
    makeFiles(folder, scaled(SMALL_FILES, scale), () =>
      text(100 + Math.min(draw(8000), draw(8000))),
    )
  },
  change: null,
}

const source: Workload = {
  says: '30,000 files of source, a tenth of them copies',
  make: ({ folder, scale, chance }) => {
    const draw = drawsOf(chance)
    const text = code(draw)
    let last = text(4000)
    makeFiles(folder, scaled(SOURCE_FILES, scale), (n) => {
      if (n % COPIES !== 0) last = text(200 + Math.min(draw(30_000), draw(30_000)))
      return last
    })
  },
  change: null,
}

const binary: Workload = {
  says: 'a binary of 1 GiB, then edited in its middle',
  make: ({ folder, scale, chance }) =>
    writeLarge(fileOf(folder), scaled(BINARY_BYTES, scale), binaryBlocks(chance)),
  change: ({ folder, scale, chance }) =>
    editLarge(fileOf(folder), scaled(BINARY_BYTES, scale), chance.fork('edits')),
}

const incompressible: Workload = {
  says: '16 files of 64 MiB that cannot be compressed',
  make: ({ folder, scale, chance }) => {
    for (let n = 0; n < NOISE_FILES; n += 1)
      writeLarge(join(folder, `noise-${n}`), scaled(NOISE_BYTES, scale), () => chance.bytes(MiB))
  },
  change: null,
}

const dump: Workload = {
  says: 'a database dump of 512 MiB, then with new rows',
  make: ({ folder, scale, chance }) =>
    writeDump(fileOf(folder), scaled(DUMP_BYTES, scale), { chance, inserted: null }),
  change: ({ folder, scale, chance }) =>
    writeDump(fileOf(folder), scaled(DUMP_BYTES, scale), { chance, inserted: INSERTED }),
}

const empty: Workload = {
  says: 'a million empty files',
  make: ({ folder, scale }) => makeFiles(folder, scaled(EMPTY_FILES, scale), () => ''),
  change: null,
}

export const WORKLOADS: Readonly<Record<string, Workload>> = {
  small,
  source,
  binary,
  incompressible,
  dump,
  empty,
}

/** What is written this moment is read again by the next backup: its times could not tell a second write. */
export const settle = async (): Promise<void> => {
  await sleep(2 * UNSETTLED)
}

const subjectOf = (name: string, workload: Workload, settings: BenchSettings): Subject => ({
  name,
  says: workload.says,
  input: async (folder) => {
    mkdirSync(folder)
    const { scale, seed } = settings
    const making = (): Making => ({ folder, scale, chance: seeded(`${seed}/${name}`) })
    workload.make(making())
    await settle()
    const { change } = workload
    return {
      paths: [folder],
      holds: holdingsOf([folder]),
      change:
        change === null
          ? null
          : () => {
              change(making())
              return holdingsOf([folder])
            },
    }
  },
})

export const benchWorkload =
  (name: string, workload: Workload) =>
  async (settings: BenchSettings): Promise<BenchReport> =>
    await compare(subjectOf(name, workload, settings), settings)
