import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, expect } from 'vitest'
import { rig, type Rig } from './agent-backup.ts'

let open: Rig[] = []
afterEach(() => {
  for (const one of open) one.dispose()
  open = []
})
/** A rig that goes away after its test. */
export const newRig = (packBytes?: number): Rig => {
  const one = rig(packBytes)
  mkdirSync(one.source, { recursive: true })
  open.push(one)
  return one
}
export const bytesOf = (path: string): string => Buffer.from(path).toString('latin1')
export const putsOf = (r: Rig, kind: string): number =>
  r.cp.puts.filter((key) => key.includes(`/${kind}/`)).length
export const contentOf = (r: Rig, name: string): string | undefined =>
  r
    .read()
    .entries.get(bytesOf(join(r.source, name)))
    ?.content.toString()

/** Everything below `dir` on disk, as the backup should give it back. */
export const onDisk = (dir: string): Map<string, string> => {
  const found = new Map<string, string>()
  const visit = (path: string): void => {
    const where = Buffer.from(path, 'latin1')
    const stat = lstatSync(where)
    if (stat.isDirectory()) {
      found.set(path, 'directory')
      for (const name of readdirSync(where, { encoding: 'latin1' })) visit(`${path}/${name}`)
    } else if (stat.isFile()) found.set(path, `file ${readFileSync(where).toString('base64')}`)
    else found.set(path, stat.isSymbolicLink() ? 'symlink' : 'other')
  }
  visit(bytesOf(dir))
  return found
}
export const backedUp = (r: Rig): Map<string, string> =>
  new Map(
    [...r.read().entries]
      .filter(([path]) => path.startsWith(bytesOf(r.source)))
      .map(([path, { entry, content }]) => [
        path,
        entry.type === 'file' ? `file ${content.toString('base64')}` : entry.type,
      ]),
  )
export const expectComplete = (r: Rig): void => expect(backedUp(r)).toEqual(onDisk(r.source))

/** A few folders with files of many sizes. */
export const fill = (dir: string): void => {
  mkdirSync(join(dir, 'sub/deep'), { recursive: true })
  mkdirSync(join(dir, 'sub-2'))
  writeFileSync(join(dir, 'a.txt'), 'hello')
  writeFileSync(join(dir, 'empty'), '')
  writeFileSync(join(dir, 'sub/medium'), randomBytes(700_000))
  writeFileSync(join(dir, 'sub/deep/ü.txt'), 'umlaut')
  writeFileSync(Buffer.from(join(dir, 'sub-2/not-utf8-\xff'), 'latin1'), 'raw')
  for (let i = 0; i < 30; i += 1) writeFileSync(join(dir, `sub-2/small ${i}`), randomBytes(i * 100))
  symlinkSync('../a.txt', join(dir, 'sub/link'))
}

/** The catalog counts exactly the packs that the newest backup needs. */
export const expectNothingLost = (r: Rig): void => {
  const { packs } = r.read()
  const live = r.cp.commits.at(-1)?.live ?? new Map<number, number>()
  for (const no of packs) expect(live.has(no)).toBe(true)
  for (const [, bytes] of live) expect(bytes).toBeGreaterThan(0)
}
