/** Files made from a seed: the same seed and scale give the same bytes. */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { KiB, MiB } from '#shared/units.ts'
import type { Seeded } from '../support/seeded.ts'

/** A whole number in `[0, limit)`. */
export type Draw = (limit: number) => number

const DRAWN_AT_ONCE = 64 * KiB

/** Numbers from one long stream: millions of them, where the seeded source's own would cost a cipher call each. */
export const drawsOf = (chance: Seeded): Draw => {
  let words: Uint32Array = new Uint32Array(0)
  let at = 0
  return (limit) => {
    if (at === words.length) {
      words = new Uint32Array(chance.bytes(DRAWN_AT_ONCE).buffer)
      at = 0
    }
    const word = words[at] ?? 0
    at += 1
    return Math.floor((word / 2 ** 32) * limit)
  }
}

const LETTERS = 'etaoinshrdlucmfwypvbgkjqxz'
const WORDS = 4000

const wordsOf = (draw: Draw): readonly string[] =>
  Array.from({ length: WORDS }, () =>
    Array.from({ length: 2 + draw(8) }, () => LETTERS[Math.min(draw(26), draw(26))]).join(''),
  )

/** Words as often as in a language: few of them make up most of a text. */
const wordFrom = (words: readonly string[], draw: Draw): string =>
  words[Math.min(draw(WORDS), draw(WORDS), draw(WORDS))] ?? ''

/** Writes at least `bytes` of text, line by line. */
export type Writer = (bytes: number) => string

export const prose = (draw: Draw): Writer => {
  const words = wordsOf(draw)
  return (bytes) => {
    let text = ''
    while (text.length < bytes) text += `${wordFrom(words, draw)}${draw(12) === 0 ? '.\n' : ' '}`
    return text
  }
}

/** What looks like a program to a compressor: indentation, few words, brackets. */
export const code = (draw: Draw): Writer => {
  const words = wordsOf(draw)
  const name = (): string => wordFrom(words, draw)
  return (bytes) => {
    let text = ''
    while (text.length < bytes)
      text += `${'  '.repeat(draw(5))}const ${name()} = ${name()}(${name()}, ${draw(1000)})\n`
    return text
  }
}

/** Files a folder. */
const BRANCH = 500

/** `count` files below `folder`, no more than `BRANCH` in each folder below it; `content` is asked once for each. */
export const makeFiles = (
  folder: string,
  count: number,
  content: (n: number) => string | Uint8Array,
): void => {
  for (let n = 0; n < count; n += 1) {
    const below = join(folder, `d${Math.floor(n / BRANCH)}`)
    if (n % BRANCH === 0) mkdirSync(below, { recursive: true })
    writeFileSync(fileIn(folder, n), content(n))
  }
}

export const fileIn = (folder: string, n: number): string =>
  join(folder, `d${Math.floor(n / BRANCH)}`, `f${n}`)

/** Writes a file of `bytes`, piece by piece. */
export const writeLarge = (path: string, bytes: number, piece: () => Uint8Array): void => {
  const fd = openSync(path, 'w')
  try {
    for (let at = 0; at < bytes;) at += writeSync(fd, piece().subarray(0, bytes - at))
  } finally {
    closeSync(fd)
  }
}

const BLOCK = 64 * KiB

/** As in a program or an image of a disk: half cannot be compressed, a quarter is text, a quarter was there before. */
export const binaryBlocks = (chance: Seeded): (() => Uint8Array) => {
  const draw = drawsOf(chance.fork('kinds'))
  const text = prose(drawsOf(chance.fork('text')))
  const again = Array.from({ length: 16 }, () => chance.bytes(BLOCK))
  return () => {
    const kind = draw(4)
    if (kind < 2) return chance.bytes(BLOCK)
    return kind === 2
      ? Buffer.from(text(BLOCK)).subarray(0, BLOCK)
      : (again[draw(again.length)] ?? chance.bytes(BLOCK))
  }
}

const OVERWRITES = 20
const INSERTED = 1000
const REMOVED = 3000

type Copying = { readonly from: number; readonly to: number; readonly end: number }

/** Copies up to `end` of `from`, from `start` on, behind what `to` holds. */
const copyPart = ({ from, to, end }: Copying, start: number): void => {
  const buffer = Buffer.allocUnsafe(MiB)
  for (let at = start; at < end;) {
    const got = readSync(from, buffer, 0, Math.min(buffer.length, end - at), at)
    if (got === 0) return
    writeSync(to, buffer, 0, got)
    at += got
  }
}

/** Some bytes more in the middle, some fewer behind it, some others at many places. */
export const editLarge = (path: string, bytes: number, chance: Seeded): void => {
  const fresh = `${path}.new`
  const from = openSync(path, 'r')
  const to = openSync(fresh, 'w+')
  try {
    const middle = Math.floor(bytes / 2)
    const later = Math.floor(bytes * 0.75)
    copyPart({ from, to, end: middle }, 0)
    writeSync(to, chance.bytes(INSERTED))
    copyPart({ from, to, end: later }, middle)
    copyPart({ from, to, end: bytes }, later + REMOVED)
    for (let n = 0; n < OVERWRITES; n += 1)
      writeSync(to, chance.bytes(4 * KiB), 0, 4 * KiB, chance.below(bytes))
    ftruncateSync(to, bytes)
  } finally {
    closeSync(from)
    closeSync(to)
  }
  renameSync(fresh, path)
}

const ROWS_AT_ONCE = 2000

/** SQL of `bytes` of rows; with `inserted`, one new row after each so many of the others, which stay as they are. */
export const writeDump = (
  path: string,
  bytes: number,
  { chance, inserted }: { readonly chance: Seeded; readonly inserted: number | null },
): void => {
  const rows = rowsOf(chance.fork('rows'))
  const others = rowsOf(chance.fork('inserted'))
  const fd = openSync(path, 'w')
  try {
    let id = 0
    for (let written = 0; written < bytes;) {
      let text = ''
      for (let n = 0; n < ROWS_AT_ONCE; n += 1) {
        id += 1
        const row = rows(id)
        written += row.length
        text += row
        if (inserted !== null && id % inserted === 0) text += others(1_000_000_000 + id)
      }
      writeSync(fd, text)
    }
  } finally {
    closeSync(fd)
  }
}

const rowsOf = (chance: Seeded): ((id: number) => string) => {
  const draw = drawsOf(chance)
  const words = wordsOf(draw)
  const word = (): string => wordFrom(words, draw)
  const date = (): string => `20${10 + draw(16)}-0${1 + draw(9)}-1${draw(10)}`
  return (id) =>
    `INSERT INTO orders VALUES (${id}, '${word()} ${word()}', '${word()}@${word()}.example', ` +
    `'${date()}', ${draw(1_000_000) / 100}, '${word()} ${word()} ${word()}');\n`
}
