/** The agent with and without koffi, in threads of its own, and for who is not root. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { loadNative, native } from '#agent/io/native.ts'
import { nodeFileSystem } from '#agent/io/node-fs.ts'
import { openWorld } from '#agent/io/restore-world.ts'
import { poolOf } from '#agent/io/workers.ts'
import { MiB } from '#shared/units.ts'
import { inlineSealers, type Rig } from '../support/agent-backup.ts'
import { bytesOf, newRig } from '../support/agent-backup-checks.ts'
import { restoreNewest, writeBucket } from '../support/fidelity-run.ts'
import { hasProgram } from '../support/programs.ts'
import { differences, snapshot } from '../support/same-tree.ts'
import { sparseFile } from '../support/sparse-file.ts'

const MAIN = fileURLToPath(new URL('../../agent/main.ts', import.meta.url))
const ROOT = process.geteuid?.() === 0
const able = native() !== null && hasProgram('getfattr') && hasProgram('setfacl')

/** Everything that Node alone cannot see. */
const strange = (r: Rig): void => {
  writeFileSync(join(r.source, 'file'), 'content')
  native()?.setAttribute(join(r.source, 'file'), 'user.a', 'b')
  sparseFile(join(r.source, 'small'), 64 * 1024, [[8192, 4096]])
  sparseFile(join(r.source, 'large'), 30 * MiB, [[8 * MiB, 9 * MiB]])
  mkdirSync(join(r.source, 'folder'))
  execFileSync('setfacl', ['-m', 'u:5:r', join(r.source, 'file')])
  execFileSync('setfacl', ['-d', '-m', 'u:5:r', join(r.source, 'folder')])
  symlinkSync('nowhere', join(r.source, 'link'))
  for (const name of ['file', 'link', 'small', 'large', 'folder'])
    native()?.setTime(join(r.source, name), 1_600_000_000_123_456_789n)
}

const warnings = (r: Rig): unknown[] =>
  r.cp.told
    .filter(({ type, body }) => type === 'log' && 'level' in body && body.level === 'warn')
    .map(({ body }) => ('message' in body ? body.message : ''))

describe('koffi', () => {
  test('that does not load, or is something else, is none', () => {
    const broken = (): never => {
      throw new Error('no such package')
    }
    expect([loadNative(broken), loadNative(() => ({})), loadNative(() => null)]).toEqual([
      ...[null, null, null],
    ])
  })

  test.skipIf(!able)('is used by the threads of backup and restore (needs koffi)', async () => {
    const r = newRig()
    strange(r)
    const before = snapshot(r.source, true)
    await r.backup({ sealers: poolOf(2) })
    expect(warnings(r)).toEqual([])
    const { place, exit } = await restoreNewest(r, openWorld())
    expect(exit).toBe(0)
    expect(differences(before, snapshot(place, true))).toEqual([])
  })

  test.skipIf(!able)('missed by a backup is one line in its log, and holes are zeros', async () => {
    const r = newRig()
    strange(r)
    const without = { fs: nodeFileSystem(null), sealers: inlineSealers(2, undefined, () => null) }
    await r.backup(without)
    expect(warnings(r)).toEqual([expect.stringContaining('koffi')])
    const { entry, content } = r.read().entries.get(bytesOf(join(r.source, 'small'))) ?? {}
    expect(entry?.holes).toBeUndefined()
    expect(content?.length).toBe(64 * 1024)
    expect(r.read().record.errors.count).toBe(0)
    expect([...r.read().entries.values()].some((one) => one.entry.xattrs ?? one.entry.acl)).toBe(
      false,
    )
  })
})

/** The program itself, as somebody restores with it. */
const openRestore = (
  r: Rig,
  { node = [], user }: { readonly node?: readonly string[]; readonly user?: number },
): { readonly place: string; readonly out: string; readonly exit: number | null } => {
  const folder = writeBucket(r)
  const target = join(folder, 'target')
  mkdirSync(target)
  if (user !== undefined) {
    for (const path of [r.folder, folder]) chmodSync(path, 0o755)
    execFileSync('chown', ['-R', `${user}:${user}`, folder])
  }
  const args = ['open', join(folder, 'bucket'), '--identity', join(folder, 'identity')]
  const run = spawnSync(process.execPath, [...node, MAIN, ...args, 'restore', target], {
    encoding: 'utf8',
    ...(user === undefined ? {} : { uid: user, gid: user }),
  })
  return { place: join(target, r.source), out: run.stdout + run.stderr, exit: run.status }
}

const WITHOUT_KOFFI = `import { registerHooks } from 'node:module'
registerHooks({ resolve: (name, context, next) => {
  if (name === 'koffi') throw new Error('not there')
  return next(name, context)
} })`

describe.skipIf(!able)('a restore (needs koffi, getfattr, setfacl)', () => {
  test('without koffi brings back what Node can, and counts the rest', async () => {
    const r = newRig()
    strange(r)
    await r.backup()
    const hook = `data:text/javascript,${encodeURIComponent(WITHOUT_KOFFI)}`
    const { place, out, exit } = openRestore(r, { node: ['--import', hook] })
    expect(exit).toBe(0)
    expect(out).toContain('user.* (koffi is not there) of 1 entry')
    expect(out).toContain('access lists (koffi is not there) of 2 entries')
    expect(differences(snapshot(r.source), snapshot(place))).toEqual([])
    expect(statSync(join(place, 'large')).blocks * 512).toBeLessThan(10 * MiB)
  })

  test.skipIf(!ROOT)(
    'by who is not root sets what it may and names the rest by kind (needs root)',
    async () => {
      const r = newRig()
      const user = 65_534
      for (const name of ['a', 'b']) {
        writeFileSync(join(r.source, name), name)
        native()?.setAttribute(join(r.source, name), 'user.a', 'b')
        native()?.setAttribute(join(r.source, name), 'trusted.a', 'b')
        execFileSync('setfacl', ['-m', 'u:5:r', join(r.source, name)])
        chownSync(join(r.source, name), user, user)
      }
      chmodSync(join(r.source, 'b'), 0o444)
      const capability = `\x01\x00\x00\x02\x00\x20${'\0'.repeat(14)}`
      native()?.setAttribute(join(r.source, 'a'), 'security.capability', capability)
      await r.backup()
      const { place, out, exit } = openRestore(r, { user })
      expect([exit, out]).toEqual([0, expect.stringContaining('trusted.* (EPERM) of 2 entries')])
      expect(out).toContain('security.capability (EPERM) of 1 entry')
      expect(out).not.toMatch(/user\.\*|access lists/)
      const got = snapshot(place, true)
      expect(got.get('/b')?.['attributes']).toContain('user.a=0x62')
      expect(got.get('/b')?.['attributes']).toContain('system.posix_acl_access')
      expect(lstatSync(join(place, 'b')).mode & 0o777).toBe(0o444)
    },
  )

  test('below a folder that hands an access list down leaves none where there was none', async () => {
    const r = newRig()
    strange(r)
    writeFileSync(join(r.source, 'folder/made before'), '')
    execFileSync('mkfifo', [join(r.source, 'pipe')])
    execFileSync('setfacl', ['-b', join(r.source, 'folder/made before')])
    const before = snapshot(r.source, true)
    await r.backup()
    const { place, exit } = await restoreNewest(r, undefined, (target) => {
      execFileSync('setfacl', ['-d', '-m', 'u:7:rwx', target])
    })
    expect(exit).toBe(0)
    expect(differences(before, snapshot(place, true))).toEqual([])
  })
})

test('attributes that no line has room for are left out by name, and looked at again', async () => {
  const r = newRig()
  writeFileSync(join(r.source, 'empty'), '')
  mkdirSync(join(r.source, 'folder'))
  const fs = nodeFileSystem()
  const large = { ...fs, attributes: () => [['user.large', '\xff'.repeat(60_000)] as const] }
  await r.backup({ fs: large })
  const { errors, counts } = r.read().record
  // The source, the folder and the file.
  expect(errors.count).toBe(3)
  expect(errors.first[0]?.problem).toContain('more extended attributes than there is room for')
  expect(counts.files).toBe(1)
  await r.backup()
  expect(r.read().record).toMatchObject({ errors: { count: 0 }, counts: { changed: 3 } })
})

test('attributes that cannot be read cost no file', async () => {
  const r = newRig()
  writeFileSync(join(r.source, 'empty'), '')
  const fs = nodeFileSystem()
  const fault = { fault: 'EIO', problem: 'EIO: i/o error' }
  await r.backup({ fs: { ...fs, attributes: () => fault } })
  expect(r.read().record.errors.first[0]?.problem).toBe('its extended attributes: EIO: i/o error')
  expect(r.read().entries.has(bytesOf(join(r.source, 'empty')))).toBe(true)
})
