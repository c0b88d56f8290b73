/** What the C library does with names in an open directory, where koffi is there. */
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { native } from '#agent/io/native.ts'

const system = native()

let folder: string
let directory: number
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-names-'))
  mkdirSync(join(folder, 'd'))
  directory = openSync(join(folder, 'd'), constants.O_RDONLY | constants.O_DIRECTORY)
})
afterEach(() => {
  closeSync(directory)
  rmSync(folder, { recursive: true })
})

const names = (): string[] => readdirSync(join(folder, 'd'), { encoding: 'latin1' }).sort()
const text = (name: string): string => readFileSync(join(folder, 'd', name), 'utf8')

const codeOf = (run: () => unknown): unknown => {
  try {
    run()
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
  return null
}

const write = (name: string, content: string): void => {
  const fd = system?.createIn(directory, name) ?? -1
  writeSync(fd, content)
  system?.close(fd)
}

describe.skipIf(system === null)('names in an open directory (needs koffi)', () => {
  test('a file is made there, private, also where the directory has moved', () => {
    renameSync(join(folder, 'd'), join(folder, 'elsewhere'))
    mkdirSync(join(folder, 'd'))
    write('\xe4 \xff', 'new')
    expect(names()).toEqual([])
    renameSync(join(folder, 'd'), join(folder, 'other'))
    renameSync(join(folder, 'elsewhere'), join(folder, 'd'))
    expect(names()).toEqual(['\xe4 \xff'])
    const path = Buffer.from(join(folder, 'd', '\xe4 \xff'), 'latin1')
    expect(lstatSync(path).mode & 0o7777).toBe(0o600)
    expect(readFileSync(path, 'utf8')).toBe('new')
  })

  test('nothing that has the name is opened, nor what a link leads to', () => {
    writeFileSync(join(folder, 'victim'), 'old')
    symlinkSync(join(folder, 'victim'), join(folder, 'd', 'link'))
    symlinkSync(join(folder, 'nothing'), join(folder, 'd', 'broken'))
    writeFileSync(join(folder, 'd', 'file'), 'old')
    for (const name of ['link', 'broken', 'file'])
      expect(codeOf(() => system?.createIn(directory, name))).toBe('EEXIST')
    expect(readFileSync(join(folder, 'victim'), 'utf8')).toBe('old')
    expect(readdirSync(folder).sort()).toEqual(['d', 'victim'])
  })

  test('a new name replaces, or leaves what has it', () => {
    write('new', 'new')
    writeFileSync(join(folder, 'd', 'file'), 'old')
    expect(codeOf(() => system?.renameNewIn(directory, 'new', 'file'))).toBe('EEXIST')
    expect([text('new'), text('file')]).toEqual(['new', 'old'])
    expect(system?.renameNewIn(directory, 'new', 'free')).toBe(true)
    system?.renameIn(directory, 'free', 'file')
    expect(names()).toEqual(['file'])
    expect(text('file')).toBe('new')
    expect(codeOf(() => system?.renameIn(directory, 'none', 'x'))).toBe('ENOENT')
  })
})
