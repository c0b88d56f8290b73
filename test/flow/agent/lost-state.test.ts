import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { hasCode } from '#shared/errors.ts'
import type { Rig } from '../../support/agent-backup.ts'
import {
  expectComplete,
  expectNothingLost,
  newRig,
  putsOf,
} from '../../support/agent-backup-checks.ts'

/** A file of the agent's state by the end of its name. */
const fileOf = (r: Rig, end: RegExp): string => {
  const found = readdirSync(r.state, { recursive: true, encoding: 'utf8' }).filter((name) =>
    end.test(name),
  )
  expect(found).toHaveLength(1)
  return join(r.state, found[0] ?? '')
}

/** Two backups, so that the state holds what is old and what is new. */
const used = async (): Promise<Rig> => {
  const r = newRig()
  mkdirSync(join(r.source, 'sub'))
  writeFileSync(join(r.source, 'a.txt'), 'hello')
  writeFileSync(join(r.source, 'sub/medium'), randomBytes(30_000))
  await r.backup()
  writeFileSync(join(r.source, 'second'), 'of the second backup')
  await r.backup()
  return r
}

/** Backs up an edit, and a copy of what the vault has, which must find its place in the state. */
const goOn = async (r: Rig, name: string): Promise<void> => {
  writeFileSync(join(r.source, `new ${name}`), name)
  copyFileSync(join(r.source, 'sub/medium'), join(r.source, `copy ${name}`))
  await r.backup()
  expectComplete(r)
  expectNothingLost(r)
}

const flip = (path: string, at: number): void => {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] ?? 0) ^ 0x04
  writeFileSync(path, bytes)
}

/** The checks of single records, lines and blocks are tried bit by bit where they are. */
const BITS = 8

const TREE = /tree-[^/]*\.zst$/
const FILES: readonly (readonly [string, RegExp])[] = [
  ['the packs that are known', /\/packs$/],
  ['the ids that are known', /\/blobs$/],
  ['the parent', /parent\.json$/],
  ['the local tree', TREE],
]

describe('a state in which', () => {
  test.each(FILES)('%s were lost gives a right backup', async (_, end) => {
    const r = await used()
    rmSync(fileOf(r, end))
    await goOn(r, 'a')
    await goOn(r, 'b')
  })

  test.each(FILES)('%s were cut off gives a right backup', async (_, end) => {
    for (const share of [0, 0.6]) {
      const r = await used()
      const path = fileOf(r, end)
      truncateSync(path, Math.floor(share * readFileSync(path).length))
      await goOn(r, 'a')
      await goOn(r, 'b')
    }
  })

  test.each(FILES)('a bit of %s is another one gives a right backup', async (_, end) => {
    const r = await used()
    const before = join(r.folder, 'before')
    cpSync(r.state, before, { recursive: true })
    const forget = r.cp.remember()
    const { length } = readFileSync(fileOf(r, end))
    for (let n = 0; n < BITS; n += 1) {
      rmSync(r.state, { recursive: true })
      cpSync(before, r.state, { recursive: true })
      forget()
      flip(fileOf(r, end), Math.floor(((n + 0.5) / BITS) * length))
      await goOn(r, 'file')
      for (const name of ['new file', 'copy file']) rmSync(join(r.source, name))
    }
  })

  test('the parent is one of an earlier agent, without a check, is gone on from', async () => {
    const r = await used()
    const path = fileOf(r, /parent\.json$/)
    const { check, ...rest } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
    expect(check).toMatch(/^[\w-]{43}$/)
    writeFileSync(path, JSON.stringify(rest))
    await r.backup()
    expect(r.read().record.bytes.read).toBe(0)
    expectComplete(r)
  })

  test('the tree ends between two blocks is read again, and what it needs is not counted as used', async () => {
    const r = await used()
    const path = fileOf(r, TREE)
    truncateSync(path, readFileSync(path).length - 8)
    const packs = putsOf(r, 'packs')
    await r.backup()
    expectComplete(r)
    expect(putsOf(r, 'packs')).toBe(packs)
    const { source, read } = r.read().record.bytes
    expect(read).toBe(source)
  })

  test('the secret of the vault is another one ends the backup, whatever bit it is', async () => {
    const r = await used()
    const path = fileOf(r, /secret\.json$/)
    const text = readFileSync(path, 'latin1')
    const from = text.indexOf('"secret":"') + 10
    const commits = r.cp.commits.length
    for (const at of [from, from + 20, from + 42]) {
      const other = text[at] === 'A' ? 'B' : 'A'
      writeFileSync(path, text.slice(0, at) + other + text.slice(at + 1))
      await expect(r.backup()).rejects.toSatisfy((error) => hasCode(error, 'DAMAGED'))
    }
    expect(r.cp.commits.length).toBe(commits)
    writeFileSync(path, text)
    await goOn(r, 'a')
  })
})

describe('a state from before', () => {
  test('gives a right backup: its parent is not what is built upon, and gone packs are not relied on', async () => {
    const r = await used()
    const yesterday = join(r.folder, 'yesterday')
    cpSync(r.state, yesterday, { recursive: true })
    const old = [...(r.cp.commits.at(-1)?.live.keys() ?? [])]
    appendFileSync(join(r.source, 'a.txt'), 'today')
    await r.backup()
    // What the state of yesterday knows is collected, and the run that was told of it is forgotten here.
    for (const no of old)
      for (const kind of ['pack', 'tree']) {
        const row = r.cp.rows.get(`${kind} ${String(no)}`)
        if (row === undefined) continue
        r.cp.rows.delete(`${kind} ${String(no)}`)
        r.cp.store.delete(row.key)
      }
    rmSync(r.state, { recursive: true })
    cpSync(yesterday, r.state, { recursive: true })
    await goOn(r, 'a')
    expect(r.read().record).toMatchObject({ sequence: 4 })
  })
})

describe('a control plane whose database is from before', () => {
  const rolledBack = async (): Promise<Rig> => {
    const r = await used()
    const forget = r.cp.remember()
    for (const day of ['monday', 'tuesday']) {
      writeFileSync(join(r.source, day), `${day} has something of its own`)
      await r.backup()
    }
    forget()
    return r
  }

  test('goes on above the numbers that the agent knows, and what it forgot is sent again', async () => {
    const r = await rolledBack()
    const given = new Set(
      [...r.cp.store.keys()].map((key) => /\/(\d+\.\d+)-/.exec(key)?.[1]).filter(Boolean),
    )
    const count = r.cp.store.size
    await goOn(r, 'a')
    const fresh = [...r.cp.store.keys()].slice(count)
    const numbers = fresh.map((key) => /\/(\d+\.\d+)-/.exec(key)?.[1]).filter(Boolean)
    expect(numbers.length).toBeGreaterThan(0)
    expect(numbers.filter((no) => given.has(no))).toEqual([])
    const said = r.cp.told.filter(({ type }) => type === 'log').map(({ body }) => body)
    expect(JSON.stringify(said)).toContain('does not know it')
    await goOn(r, 'b')
  })

  test('is not believed when it gives numbers again', async () => {
    const r = await rolledBack()
    r.cp.deaf = true
    const { length } = r.cp.commits
    writeFileSync(join(r.source, 'new'), 'new')
    await expect(r.backup()).rejects.toSatisfy((error) => hasCode(error, 'PROTOCOL_VIOLATION'))
    // Nor when only the dead records tell of them.
    for (const end of [/\/packs$/, /parent\.json$/]) rmSync(fileOf(r, end))
    await expect(r.backup()).rejects.toSatisfy((error) => hasCode(error, 'PROTOCOL_VIOLATION'))
    expect(r.cp.commits.length).toBe(length)
    r.cp.deaf = false
    await goOn(r, 'a')
  })
})
