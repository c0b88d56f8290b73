import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeFileSystem } from '#agent/io/node-fs.ts'
import { quickStat } from '#agent/io/statx.ts'
import { GiB } from '#shared/units.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-statx-'))
  const at = (name: string): string => join(folder, name)
  writeFileSync(at('plain'), 'x')
  writeFileSync(Buffer.from(at('\xff\xfe'), 'latin1'), 'bytes that are no text')
  writeFileSync(at('large'), '')
  truncateSync(at('large'), 5 * GiB)
  writeFileSync(at('before 1970'), '')
  utimesSync(at('before 1970'), -5.25, -1234.567891)
  writeFileSync(at('after 2106'), '')
  utimesSync(at('after 2106'), 5e9, 5e9 + 0.123)
  symlinkSync('/nowhere', at('link'))
  mkdirSync(at('folder'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const FIELDS = [
  ...(['mode', 'uid', 'gid', 'nlink', 'size', 'dev', 'ino', 'mtimeMs', 'ctimeMs'] as const),
]

const asLstat = (path: string): object => {
  const stat = lstatSync(Buffer.from(path, 'latin1'))
  return Object.fromEntries(FIELDS.map((field) => [field, stat[field]]))
}

describe('statx says what lstat says', () => {
  test('of files, links, folders and devices, to the last bit of every number', () => {
    const stat = quickStat()
    const made = readdirSync(folder, 'latin1').map((name) => join(folder, name))
    const paths = [...made, '/', '/dev', '/dev/null', process.execPath]
    expect(paths).toHaveLength(11)
    for (const path of paths) expect({ path, ...stat?.(path) }).toEqual({ path, ...asLstat(path) })
  })

  test('of every entry of a folder of the system', () => {
    const stat = quickStat()
    const paths = readdirSync('/etc', 'latin1').map((name) => join('/etc', name))
    expect(paths.length).toBeGreaterThan(10)
    expect(paths.map((path) => stat?.(path))).toEqual(paths.map(asLstat))
  })

  test('and leaves to it what it cannot tell', () => {
    const stat = quickStat()
    const bad = ['missing', 'plain/below', 'x'.repeat(300), 'x/'.repeat(2100), 'plain\0more']
    for (const name of bad) expect(stat?.(join(folder, name))).toBeNull()
    expect(nodeFileSystem().stat(join(folder, 'missing'))).toMatchObject({ fault: 'ENOENT' })
    expect(nodeFileSystem().stat(join(folder, 'plain/below'))).toMatchObject({ fault: 'ENOTDIR' })
  })
})
