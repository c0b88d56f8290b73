import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { systemClock } from '#agent/io/world.ts'
import { inlineSealers } from '../../support/agent-backup.ts'
import {
  backedUp,
  bytesOf,
  contentOf,
  expectComplete,
  expectNothingLost,
  fill,
  newRig,
  putsOf,
} from '../../support/agent-backup-checks.ts'

describe('a backup', () => {
  test('opens with the key and gives every file back', async () => {
    const r = newRig()
    mkdirSync(join(r.source, 'x'))
    writeFileSync(join(r.source, 'x/large'), randomBytes(9 * MiB))
    writeFileSync(join(r.source, 'a.txt'), 'hello')
    symlinkSync('a.txt', join(r.source, 'link'))
    chmodSync(join(r.source, 'a.txt'), 0o640)
    execFileSync('mkfifo', [join(r.source, 'pipe')])
    await r.backup()
    const { entries, record } = r.read()
    const link = entries.get(bytesOf(join(r.source, 'link')))?.entry
    expect(link).toMatchObject({ type: 'symlink', target: 'a.txt' })
    const file = entries.get(bytesOf(join(r.source, 'a.txt')))
    expect(file?.content.toString()).toBe('hello')
    expect(file?.entry.mode).toBe(0o640)
    expect(file?.entry.mtime).toBe(lstatSync(join(r.source, 'a.txt'), { bigint: true }).mtimeNs)
    expect(entries.get(bytesOf(join(r.source, 'pipe')))?.entry.type).toBe('fifo')
    expect(entries.get('/tmp')?.entry.type).toBe('directory')
    const large = entries.get(bytesOf(join(r.source, 'x/large')))?.content
    expect(large?.equals(readFileSync(join(r.source, 'x/large')))).toBe(true)
    expect(record.counts).toMatchObject({ files: 2, unchanged: 0, skipped: 0 })
    expect(record.errors.count).toBe(0)
  })

  test('keeps names that are not UTF-8, and entries in every kind of folder', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    const name = `${bytesOf(r.source)}/sub-2/not-utf8-\xff`
    expect(r.read().entries.get(name)?.content.toString()).toBe('raw')
    expect(r.read().record.counts.files).toBe(35)
  })

  test('writes its objects in the order that makes a crash harmless', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    const kinds = r.cp.puts.map((key) => /\/(signers|keys|packs|trees|backups)\//.exec(key)?.[1])
    expect(kinds).toEqual(['signers', 'keys', 'packs', 'trees', 'trees', 'backups'])
    const last = r.cp.asked.slice(-4)
    expect(last).toEqual(['commit.page', 'grants.request', 'objects.stored', 'commit.finish'])
    expect(r.cp.asked.indexOf('vault.opened')).toBeLessThan(r.cp.asked.indexOf('numbers.request'))
  })

  test('of an unchanged source uploads only a record', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    const before = r.cp.puts.length
    await r.backup()
    expect(r.cp.puts.slice(before).map((key) => key.includes('/backups/'))).toEqual([true])
    expect(r.read().record.counts).toMatchObject({ changed: 0 })
    expect(r.read().record.bytes).toMatchObject({ read: 0, new: 0 })
    expectNothingLost(r)
  })

  test('reads and sends only what changed', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    appendFileSync(join(r.source, 'a.txt'), ' world')
    const packs = putsOf(r, 'packs')
    await r.backup()
    const { record } = r.read()
    expect(contentOf(r, 'a.txt')).toBe('hello world')
    expect(record.bytes).toMatchObject({ read: 11, new: 11 })
    expect(record.counts.changed).toBe(1)
    expect(putsOf(r, 'packs')).toBe(packs + 1)
    expect(r.cp.commits.map(({ sequence }) => sequence)).toEqual([1, 2])
  })

  test('of a file that was only touched reads it and sends no content', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    const packs = putsOf(r, 'packs')
    chmodSync(join(r.source, 'sub/medium'), 0o600)
    await r.backup()
    expect(r.read().record.bytes).toMatchObject({ read: 700_000, new: 0 })
    expect(putsOf(r, 'packs')).toBe(packs)
  })

  test('reads a file again that was written moments before it was read', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'fresh'), 'fresh')
    await r.backup({ sealers: inlineSealers(2, () => systemClock.now()) })
    await r.backup()
    expect(r.read().record.bytes).toMatchObject({ read: 5, new: 0 })
    await r.backup()
    expect(r.read().record.bytes.read).toBe(0)
  })

  test('stores equal content once, within a run and across runs', async () => {
    const r = newRig()
    const same = randomBytes(600_000)
    mkdirSync(join(r.source, 'b'))
    for (const name of ['one', 'two', 'b/three']) writeFileSync(join(r.source, name), same)
    await r.backup()
    expect(r.read().record.bytes.new).toBe(600_000)
    writeFileSync(join(r.source, 'b/four'), same)
    await r.backup()
    expect(r.read().record.bytes.new).toBe(0)
    expect(contentOf(r, 'b/four')).toBe(same.toString())
  })

  test('gives each name of a file its content, and reads the file once', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'first'), randomBytes(50_000))
    linkSync(join(r.source, 'first'), join(r.source, 'second'))
    await r.backup()
    const { entries, record } = r.read()
    const [first, second] = ['first', 'second'].map((name) =>
      entries.get(bytesOf(join(r.source, name))),
    )
    expect(first?.entry.hardlink).toBeDefined()
    expect(second?.entry.hardlink).toBe(first?.entry.hardlink)
    expect(second?.content.equals(first?.content ?? Buffer.alloc(0))).toBe(true)
    expect(record.bytes).toMatchObject({ read: 50_000, new: 50_000, source: 100_000 })
  })

  test('of a file with many blobs writes content lists, and only the changed ones again', async () => {
    const r = newRig()
    const path = join(r.source, 'huge')
    const bytes = randomBytes(76 * MiB)
    writeFileSync(path, bytes)
    await r.backup()
    const first = r.read().entries.get(bytesOf(path))
    expect(first?.entry.more?.length).toBeGreaterThan(0)
    expect(first?.content.equals(bytes)).toBe(true)
    bytes[40 * MiB] = 255 - (bytes[40 * MiB] ?? 0)
    writeFileSync(path, bytes)
    await r.backup()
    const second = r.read()
    expect(second.entries.get(bytesOf(path))?.content.equals(bytes)).toBe(true)
    expect(second.record.bytes.new).toBeLessThan(8 * MiB)
    rmSync(path)
    await r.backup()
    // Nothing that the lists named is counted as used any more.
    const used = [...(r.cp.commits.at(-1)?.live.keys() ?? [])]
    expect(used.filter((no) => r.cp.rows.has(`pack ${no}`))).toEqual([])
  })

  test('forgets what was removed and finds what was moved', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    rmSync(join(r.source, 'sub-2'), { recursive: true })
    renameSync(join(r.source, 'sub'), join(r.source, 'moved'))
    await r.backup()
    expectComplete(r)
    expect(r.read().record.bytes.new).toBe(0)
    expectNothingLost(r)
  })
})

describe('sources', () => {
  test('leave out what they exclude, and nothing of another source', async () => {
    const r = newRig()
    mkdirSync(join(r.source, 'cache/keep'), { recursive: true })
    writeFileSync(join(r.source, 'a.log'), 'log')
    writeFileSync(join(r.source, 'a.txt'), 'text')
    writeFileSync(join(r.source, 'cache/x'), 'x')
    writeFileSync(join(r.source, 'cache/keep/y'), 'y')
    await r.backup({
      sources: [
        { type: 'files', paths: [r.source], exclude: ['*.log', 'cache/'] },
        { type: 'files', paths: [join(r.source, 'cache/keep')] },
      ],
    })
    const names = [...backedUp(r).keys()].map((path) => path.slice(r.source.length))
    expect(names).toEqual(['', '/a.txt', '/cache', '/cache/keep', '/cache/keep/y'])
  })

  test('that do not exist are named, and the others are backed up', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'a'), 'a')
    const missing = join(r.folder, 'missing')
    await r.backup({ sources: [{ type: 'files', paths: [missing, r.source, 'relative'] }] })
    const errors = r.cp.finishes.at(-1)
    expect(errors?.error_count).toBe(2)
    expect(errors?.errors.map(({ path, code }) => [path, code])).toEqual([
      ['relative', 'SOURCE_UNREADABLE'],
      [missing, 'SOURCE_UNREADABLE'],
    ])
    expect(contentOf(r, 'a')).toBe('a')
  })

  test('are not changed by what comes and goes in the folders above them', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'a'), 'a')
    await r.backup()
    writeFileSync(join(r.folder, 'beside'), 'not of the source')
    await r.backup()
    expect(r.read().record.counts.changed).toBe(0)
    chmodSync(r.folder, 0o711)
    await r.backup()
    expect(r.read().entries.get(bytesOf(r.folder))?.entry.mode).toBe(0o711)
  })

  test('below one another are walked once', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup({
      sources: [{ type: 'files', paths: [join(r.source, 'sub'), r.source, r.source] }],
    })
    expectComplete(r)
  })

  test('that are links to a folder are backed up as that folder', async () => {
    const r = newRig()
    writeFileSync(join(r.source, 'a'), 'a')
    symlinkSync(r.source, join(r.folder, 'by-link'))
    const sources = [{ type: 'files' as const, paths: [join(r.folder, 'by-link')] }]
    await r.backup({ sources })
    const { entries } = r.read()
    expect(entries.get(bytesOf(join(r.folder, 'by-link')))?.entry.type).toBe('directory')
    expect(entries.get(bytesOf(join(r.folder, 'by-link/a')))?.content.toString()).toBe('a')
    await r.backup({ sources })
    expect(r.read().record.counts.changed).toBe(0)
  })
})
