/** Trees that are too deep, too wide or too long for what usually does. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { newRig } from '../support/agent-backup-checks.ts'
import { restoreNewest } from '../support/fidelity-run.ts'
import { sparseFile } from '../support/sparse-file.ts'
import { differences, snapshot } from '../support/same-tree.ts'
import { GiB, MiB } from '#shared/units.ts'

/** Makes folders below each other, name by name: their path may be longer than the kernel takes. */
const goDown = (
  top: string,
  names: readonly string[],
  visit: (file: Buffer, level: number) => void,
): void => {
  let fd = openSync(top, 'r')
  names.forEach((name, level) => {
    const path = Buffer.from(`/proc/self/fd/${fd}/${name}`, 'latin1')
    mkdirSync(path)
    visit(Buffer.concat([path, Buffer.from('/file')]), level)
    const next = openSync(path, 'r')
    closeSync(fd)
    fd = next
  })
  closeSync(fd)
}

/** What tar, which walks with openat, makes of a folder. */
const tarOf = (folder: string): string => {
  const args = [
    '--sort=name',
    '--format=pax',
    '--pax-option=delete=atime,delete=ctime',
    '--numeric-owner',
  ]
  const bytes = execFileSync('tar', [...args, '-C', folder, '-cf', '-', '.'], {
    maxBuffer: 1 << 28,
  })
  return createHash('sha256').update(bytes).digest('hex')
}

const inMemory = <T>(make: () => T): T => {
  const usual = process.env['TMPDIR']
  if (existsSync('/dev/shm')) process.env['TMPDIR'] = '/dev/shm'
  try {
    return make()
  } finally {
    if (usual === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = usual
  }
}

let deep: string[] = []
/** Node cannot remove what it cannot name. */
afterEach(() => {
  for (const folder of deep) execFileSync('rm', ['-rf', folder])
  deep = []
})

const deepRig = (): ReturnType<typeof newRig> => {
  const r = newRig()
  deep.push(r.folder)
  return r
}

test('a thousand folders in each other', async () => {
  const r = deepRig()
  const names = Array.from({ length: 1000 }, (_, i) => String(i % 10))
  goDown(r.source, names, (file, level) => writeFileSync(file, `${level}`))
  await r.backup()
  expect(r.read().record.errors.count).toBe(0)
  const { place, exit } = await restoreNewest(r)
  expect(exit).toBe(0)
  expect(tarOf(place)).toBe(tarOf(r.source))
}, 120_000)

test('paths beyond PATH_MAX are walked; beyond what a tree can hold they are named, and the rest is there', async () => {
  const r = deepRig()
  const names = Array.from({ length: 30 }, (_, i) => `${i}${'n\xff'.repeat(120)}`)
  goDown(r.source, names, (file, level) => writeFileSync(file, `${level}`))
  await r.backup()
  expect(r.read().record.errors.count).toBe(0)
  const { place, exit } = await restoreNewest(r)
  expect(exit).toBe(0)
  expect(tarOf(place)).toBe(tarOf(r.source))
  await r.backup()
  expect(r.read().record.counts.changed).toBe(0)

  const beyond = `${r.source}/beyond`
  mkdirSync(beyond)
  goDown(
    beyond,
    Array.from({ length: 40 }, () => 'd'.repeat(250)),
    (file) => writeFileSync(file, 'x'),
  )
  await r.backup()
  const { errors, counts } = r.read().record
  expect(errors).toMatchObject({ count: 1, first: [{ code: 'SOURCE_UNREADABLE' }] })
  expect(errors.first[0]?.problem).toContain('longer than 8192 bytes')
  expect(counts.files).toBeGreaterThan(60)
}, 120_000)

test('a folder of a hundred thousand entries', async () => {
  // In memory where that is to be had: what counts here is the number.
  const r = inMemory(() => newRig())
  const count = 100_000
  for (let i = 0; i < count; i += 1) writeFileSync(`${r.source}/${i}`, i % 1000 === 0 ? `${i}` : '')
  await r.backup()
  const { place, exit } = await restoreNewest(r)
  expect(exit).toBe(0)
  expect(readdirSync(place).sort()).toEqual(readdirSync(r.source).sort())
  expect(readFileSync(`${place}/99000`, 'utf8')).toBe('99000')
  await r.backup()
  expect(r.read().record.counts).toMatchObject({ files: count, changed: 0 })
}, 300_000)

test('a file of a TiB with three MiB in it costs what is in it', async () => {
  const r = newRig()
  const TiB = 1024 * GiB
  const data = [0, 700 * GiB + 4096, TiB - MiB].map((offset) => [offset, MiB] as const)
  sparseFile(`${r.source}/tib`, TiB, data)
  const before = snapshot(r.source, true)
  const { tally } = await r.backup().then(() => ({ tally: r.cp.commits.at(-1) }))
  expect(tally).toBeDefined()
  const stored = [...r.cp.store.values()].reduce((sum, { length }) => sum + length, 0)
  expect(stored).toBeLessThan(4 * MiB)
  const { place, exit } = await restoreNewest(r)
  expect(exit).toBe(0)
  expect(statSync(`${place}/tib`).blocks * 512).toBeLessThanOrEqual(4 * MiB)
  expect(differences(before, snapshot(place, true))).toEqual([])
}, 120_000)
