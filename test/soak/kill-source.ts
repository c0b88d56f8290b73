/** The files of a kill: from a seed, of all sizes, most of them changed before each backup. */
import { createCipheriv } from 'node:crypto'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { KiB, MiB } from '#shared/units.ts'
import type { Seeded } from '../support/seeded.ts'

export type Source = {
  readonly folder: string
  /** So much new content that it takes several packs. */
  change(chance: Seeded): void
  /** A few small files. */
  touch(chance: Seeded): void
}

export type MakeSource = (folder: string, chance: Seeded) => Source

const FOLDERS = 6
const SMALL = 20
/** Of 2 to 8 MiB each, so some 40 MiB and at least three packs; every change writes all of them anew. */
const LARGE = 8
const LEAST = 2 * MiB
const SPREAD = 6 * MiB

/** That does not compress. */
const noise = (chance: Seeded, size: number): Buffer =>
  createCipheriv('aes-256-ctr', chance.bytes(32), Buffer.alloc(16)).update(Buffer.alloc(size))

const text = (chance: Seeded, size: number): Buffer =>
  Buffer.alloc(size, `${chance.below(1e9)} the same line again\n`)

const writeSmall = (chance: Seeded, path: string): void => {
  const size = chance.below(12 * KiB)
  writeFileSync(path, chance.chance(0.5) ? noise(chance, size) : text(chance, size))
  chmodSync(path, chance.pick([0o644, 0o600, 0o755, 0o440]))
  const time = 1_500_000_000 + chance.below(200_000_000) + chance.below(1000) / 1000
  utimesSync(path, time, time)
}

const smallPath = (folder: string, chance: Seeded): string =>
  join(folder, `dir ${chance.below(FOLDERS)}`, `f-${chance.below(SMALL)}`)

/** Small files, and names that are one file. */
const makeBase = (folder: string, chance: Seeded): Source['touch'] => {
  for (let d = 0; d < FOLDERS; d += 1) {
    mkdirSync(join(folder, `dir ${d}`), { recursive: true })
    for (let i = 0; i < SMALL; i += 1) writeSmall(chance, join(folder, `dir ${d}`, `f-${i}`))
  }
  writeFileSync(join(folder, 'linked'), noise(chance, 100 * KiB))
  linkSync(join(folder, 'linked'), join(folder, 'dir 0', 'linked too'))
  symlinkSync('dir 1/f-1', join(folder, 'symbolic'))
  return (dice) => {
    for (let i = 0; i < 5; i += 1) {
      const path = smallPath(folder, dice)
      rmSync(path, { force: true })
      if (dice.chance(0.8)) writeSmall(dice, path)
    }
  }
}

/** `large`: how many large files. */
export const makeSource = (folder: string, chance: Seeded, large = LARGE): Source => {
  const changeLarge = (dice: Seeded): void => {
    for (let i = 0; i < large; i += 1)
      writeFileSync(join(folder, `large-${i}`), noise(dice, LEAST + dice.below(SPREAD)))
  }
  const touch = makeBase(folder, chance)
  changeLarge(chance)
  return {
    folder,
    touch,
    change: (dice) => {
      changeLarge(dice)
      for (let i = 0; i < 8; i += 1) touch(dice)
    },
  }
}

/** Large files at a time, the contents that they have in turn, and how many of them one change writes anew. */
const PLACES = 4
const CONTENTS = 9
const ANEW = 2

/** Content that goes comes back some time, maybe when what held it was deleted: an agent must not believe that it is there. */
export const makeRecurring: MakeSource = (folder, chance) => {
  const touch = makeBase(folder, chance)
  const contents = Array.from({ length: CONTENTS }, (_, i) => {
    const dice = chance.fork(`content ${i}`)
    return noise(dice, LEAST + dice.below(SPREAD))
  })
  const put = (dice: Seeded, place: number): void => {
    writeFileSync(join(folder, `large-${place}`), dice.pick(contents))
  }
  for (let place = 0; place < PLACES; place += 1) put(chance, place)
  return {
    folder,
    touch,
    change: (dice) => {
      for (let i = 0; i < ANEW; i += 1) put(dice, dice.below(PLACES))
      touch(dice)
    },
  }
}
