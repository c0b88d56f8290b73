import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KiB } from '#shared/units.ts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { native } from '#agent/io/native.ts'
import { newRig } from '../support/agent-backup-checks.ts'
import { makeCorpus } from '../support/fidelity-corpus.ts'
import { restoreNewest } from '../support/fidelity-run.ts'
import { fidelityRound } from '../support/fidelity-rounds.ts'
import { hasProgram } from '../support/programs.ts'
import { seeded } from '../support/seeded.ts'
import { sparseFile } from '../support/sparse-file.ts'
import { differences, sameTree, snapshot } from '../support/same-tree.ts'

const PROGRAMS = ['getfattr', 'setfacl', 'fallocate']
const missing = PROGRAMS.filter((program) => !hasProgram(program))
const able = missing.length === 0 && native() !== null

describe.skipIf(!able)(`what comes back (needs ${PROGRAMS.join(', ')}, koffi)`, () => {
  test('over two hundred peculiar entries are restored as they were, and cost nothing the second time', async () => {
    const r = newRig()
    const count = makeCorpus(r.source)
    expect(count).toBeGreaterThan(200)
    const before = snapshot(r.source, true)
    await r.backup()
    expect(r.read().record.errors).toMatchObject({ count: 0 })
    const restored = await restoreNewest(r)
    expect(restored.lines.find(({ event }) => event === 'restored')).toMatchObject({
      attributes_not_set: 0,
      failed: 0,
      damaged: 0,
    })
    expect(restored.exit).toBe(0)
    expect(differences(before, snapshot(restored.place, true))).toEqual([])
    restored.dispose()
    await r.backup()
    expect(r.read().record.counts.changed).toBe(0)
  }, 120_000)
})

/** One thing made different in the second folder, and what must be said of it. */
const CHANGES: readonly (readonly [what: string, change: (at: string) => void, says: string])[] = [
  ['another byte', (at) => writeFileSync(`${at}/file`, 'ceep'), 'sha256'],
  ['a byte more', (at) => writeFileSync(`${at}/file`, 'keepx'), 'size'],
  ['a mode', (at) => chmodSync(`${at}/file`, 0o640), '/file: mode'],
  ['a set-id bit', (at) => chmodSync(`${at}/folder`, 0o2755), '/folder: mode'],
  ['an owner', (at) => lchownSync(`${at}/link`, 5, 0), '/link: owner'],
  ['a group', (at) => lchownSync(`${at}/folder`, 0, 5), '/folder: owner'],
  ['a nanosecond', (at) => native()?.setTime(`${at}/file`, 1n), '/file: mtime_ns'],
  ['a nanosecond of a link', (at) => native()?.setTime(`${at}/link`, 1n), '/link: mtime_ns'],
  ['a folder time', (at) => native()?.setTime(`${at}/folder`, 1n), '/folder: mtime_ns'],
  ['a link target', (at) => replace(`${at}/link`, (path) => symlinkSync('else', path)), 'target'],
  ['a type', (at) => replace(`${at}/link`, (path) => mkdirSync(path)), '/link: type'],
  ['a device', (at) => replace(`${at}/device`, (path) => mknod(path, '1', '5')), 'device'],
  ['a name gone', (at) => rmSync(`${at}/folder/file`), '/folder/file: missing'],
  ['a name more', (at) => writeFileSync(`${at}/\xff`, ''), 'not expected'],
  [
    'a hard link cut',
    (at) => replace(`${at}/second`, (path) => writeFileSync(path, 'keep')),
    'link',
  ],
  [
    'an attribute',
    (at) => native()?.setAttribute(`${at}/file`, 'user.a', 'c'),
    '/file: attributes',
  ],
  ['an attribute gone', (at) => native()?.removeAttribute(`${at}/file`, 'user.a'), 'attributes'],
  ['an attribute more', (at) => native()?.setAttribute(`${at}/folder`, 'user.b', ''), 'attributes'],
  ['one of a link', (at) => native()?.setAttribute(`${at}/link`, 'trusted.b', ''), 'attributes'],
  ['an access list', (at) => acl(`${at}/file`, '-m', 'u:6:r'), '/file: attributes'],
  ['a default list', (at) => acl(`${at}/folder`, '-k'), '/folder: attributes'],
  ['a hole filled', (at) => fillHole(`${at}/sparse`), '/sparse: holes'],
  ['a hole more', (at) => punchHole(`${at}/zeros`), '/zeros: holes'],
]

const replace = (path: string, make: (path: string) => void): void => {
  rmSync(path)
  make(path)
}
const mknod = (path: string, ...device: string[]): void =>
  void execFileSync('mknod', [path, 'c', ...device])
const acl = (path: string, ...args: string[]): void => void execFileSync('setfacl', [...args, path])
const fillHole = (path: string): void => {
  const fd = openSync(path, 'r+')
  writeSync(fd, Buffer.alloc(4096), 0, 4096, 0)
  closeSync(fd)
}
const punchHole = (path: string): void => void execFileSync('fallocate', ['-d', path])

describe.skipIf(!able || process.geteuid?.() !== 0)(
  'the comparison of two folders (needs root)',
  () => {
    let folder = ''
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'hf-same-'))
      const at = `${folder}/a`
      mkdirSync(`${at}/folder`, { recursive: true })
      writeFileSync(`${at}/file`, 'keep')
      writeFileSync(`${at}/folder/file`, '')
      linkSync(`${at}/file`, `${at}/second`)
      symlinkSync('nowhere', `${at}/link`)
      mknod(`${at}/device`, '1', '3')
      native()?.setAttribute(`${at}/file`, 'user.a', 'b')
      acl(`${at}/folder`, '-d', '-m', 'u:5:r')
      sparseFile(`${at}/sparse`, 64 * KiB, [[32 * KiB, 4096]])
      writeFileSync(`${at}/zeros`, Buffer.alloc(64 * KiB))
      execFileSync('cp', ['-a', at, `${folder}/b`])
    })
    afterEach(() => rmSync(folder, { recursive: true, force: true }))

    test('finds none between a folder and its copy', () => {
      expect(sameTree(`${folder}/a`, `${folder}/b`, true)).toEqual([])
    })

    test.each(CHANGES)('sees %s', (_, change, says) => {
      change(`${folder}/b`)
      expect(sameTree(`${folder}/a`, `${folder}/b`, true).join('\n')).toContain(says)
    })
  },
)

const ROUNDS = Number(process.env['HOLDFAST_FIDELITY_ROUNDS'] ?? '4')

describe.skipIf(!able)(`trees edited at random (needs ${PROGRAMS.join(', ')}, koffi)`, () => {
  test.each(Array.from({ length: ROUNDS }, (_, i) => [`tree ${i}`]))(
    '%s comes back as it was, backup after backup',
    async (seed) => {
      expect(await fidelityRound(newRig(), seeded(seed))).toEqual([])
    },
    60_000,
  )
})
