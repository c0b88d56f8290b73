import { linkSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CACHE_SIGNATURE, type SourceOptions } from '#agent/core/rules.ts'
import { isFault } from '#agent/core/stat.ts'
import { nodeFileSystem } from '#agent/io/node-fs.ts'
import type { FileSystem } from '#agent/ports.ts'
import type { Rig } from '../../support/agent-backup.ts'
import { bytesOf, expectNothingLost, newRig } from '../../support/agent-backup-checks.ts'

const backup = async (r: Rig, options: SourceOptions, fs?: FileSystem): Promise<string[]> => {
  const { exclude, exclude_if_present, ...rest } = options
  const lists = {
    ...(exclude === undefined ? {} : { exclude: [...exclude] }),
    ...(exclude_if_present === undefined ? {} : { exclude_if_present: [...exclude_if_present] }),
  }
  await r.backup({
    sources: [{ type: 'files', paths: [r.source], ...lists, ...rest }],
    ...(fs === undefined ? {} : { fs }),
  })
  expectNothingLost(r)
  return paths(r)
}

const paths = (r: Rig): string[] => {
  const top = `${bytesOf(r.source)}/`
  return [...r.read().entries.keys()]
    .filter((path) => path.startsWith(top))
    .map((path) => path.slice(top.length))
}

const make = (r: Rig, ...files: string[]): void => {
  for (const file of files) {
    mkdirSync(join(r.source, file, '..'), { recursive: true })
    writeFileSync(join(r.source, file), file)
  }
}

test('of a folder with a cache tag only the tag is kept, whatever lies deeper', async () => {
  const r = newRig()
  make(r, 'cache/a', 'cache/deep/b', 'fake/a', 'linked/a', 'z')
  writeFileSync(join(r.source, 'cache/CACHEDIR.TAG'), `${CACHE_SIGNATURE}\n# made by a test`)
  writeFileSync(join(r.source, 'fake/CACHEDIR.TAG'), 'Signature: none')
  symlinkSync('../cache/CACHEDIR.TAG', join(r.source, 'linked/CACHEDIR.TAG'))
  const kept = ['cache', 'fake', 'linked', 'z', 'cache/CACHEDIR.TAG']
  const others = ['fake/CACHEDIR.TAG', 'fake/a', 'linked/CACHEDIR.TAG', 'linked/a']
  expect(await backup(r, { exclude_caches: true })).toEqual([...kept, ...others])
  expect(await backup(r, {})).toContain('cache/deep/b')
  // What comes to be left out goes from the next backup, and what is copied stays.
  expect(await backup(r, { exclude_caches: true })).toEqual([...kept, ...others])
})

test('of a folder with a marker only the marker is kept; other sources do not care', async () => {
  const r = newRig()
  make(r, 'a/.nobackup', 'a/x', 'a/sub/y', 'b/x')
  const options = { exclude_if_present: ['.skip', '.nobackup'] }
  expect(await backup(r, options)).toEqual(['a', 'b', 'a/.nobackup', 'b/x'])
  await r.backup({
    sources: [
      { type: 'files', paths: [r.source], exclude_if_present: ['.nobackup'] },
      { type: 'files', paths: [join(r.source, 'a/sub')] },
    ],
  })
  expect(paths(r)).toEqual(['a', 'b', 'a/.nobackup', 'a/sub', 'a/sub/y', 'b/x'])
})

test('larger files are left out, folders and links never', async () => {
  const r = newRig()
  make(r, 'small')
  writeFileSync(join(r.source, 'limit'), Buffer.alloc(1000))
  writeFileSync(join(r.source, 'large'), Buffer.alloc(1001))
  linkSync(join(r.source, 'large'), join(r.source, 'linked'))
  symlinkSync('large', join(r.source, 'link'))
  for (let i = 0; i < 200; i += 1) make(r, `folder/${i}`)
  const kept = await backup(r, { max_file_size: 1000 })
  expect(kept.slice(0, 4)).toEqual(['folder', 'limit', 'link', 'small'])
  expect(kept).toHaveLength(204)
})

/** As if a folder of this name were another file system. */
const mounted = (name: string): FileSystem => {
  const fs = nodeFileSystem()
  return {
    ...fs,
    stat: (path) => {
      const stat = fs.stat(path)
      return isFault(stat) || !path.includes(`/${name}`) ? stat : Object.assign(stat, { dev: 999 })
    },
  }
}

test('what is mounted below is an empty folder, unless it is a source itself', async () => {
  const r = newRig()
  make(r, 'a', 'mount/x', 'mount/deep/y', 'z/b')
  const fs = mounted('mount')
  expect(await backup(r, { one_file_system: true }, fs)).toEqual(['a', 'mount', 'z', 'z/b'])
  expect(await backup(r, {}, fs)).toContain('mount/deep/y')
  await r.backup({
    fs,
    sources: [{ type: 'files', paths: [r.source, join(r.source, 'mount')], one_file_system: true }],
  })
  expect(paths(r)).toContain('mount/deep/y')
  expect(lstatSync(r.source).isDirectory()).toBe(true)
})

test('patterns begin in the folder of the source, and may be taken back', async () => {
  const r = newRig()
  make(r, 'build/x', 'sub/build/x', 'a.log', 'keep.log', 'sub/b.log')
  const options = { exclude: ['./no', 'build/x', '*.log', '!keep.log', `${r.source}/sub/build`] }
  expect(await backup(r, options)).toEqual(['build', 'keep.log', 'sub'])
})
