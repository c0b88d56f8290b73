import { appendFileSync, rmSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { hasCode } from '#shared/errors.ts'
import { MiB } from '#shared/units.ts'
import type { Rig } from '../../support/agent-backup.ts'
import {
  expectComplete,
  expectNothingLost,
  fill,
  newRig,
} from '../../support/agent-backup-checks.ts'

describe('the store', () => {
  test('may fail, lose answers, or have an object already: the same bytes are sent again', async () => {
    const r = newRig()
    fill(r.source)
    r.cp.faults.push('refuse', 'lost', 'refuse', 'lost', 'refuse')
    await r.backup()
    expectComplete(r)
    expect(new Set(r.cp.puts).size).toBe(r.cp.puts.length)
  })

  test('that has lost packs gets what lay in them again, from the source', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    const packs = [...r.cp.rows.keys()]
      .filter((id) => id.startsWith('pack '))
      .map((id) => Number(id.slice(5)))
    appendFileSync(join(r.source, 'a.txt'), '!')
    for (const no of packs) r.cp.lose.add(no)
    await r.backup()
    expectComplete(r)
    expectNothingLost(r)
    expect(r.cp.asked.filter((type) => type === 'commit.finish').length).toBe(3)
  })

  test('that has lost the tree gets it again', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    for (const id of r.cp.rows.keys())
      if (id.startsWith('tree ')) r.cp.lose.add(Number(id.slice(5)))
    await r.backup()
    expectComplete(r)
    expectNothingLost(r)
  })

  test('that loses packs again and again ends the backup, and the next one succeeds', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    const keepLosing = {
      has: (no: number) => r.cp.rows.has(`pack ${no}`),
      delete: () => true,
    }
    const { lose } = r.cp
    r.cp.lose = Object.assign(new Set<number>(), keepLosing)
    await expect(r.backup()).rejects.toSatisfy((error) => hasCode(error, 'INTERNAL_AGENT'))
    r.cp.lose = lose
    await r.backup()
    expectComplete(r)
  })

  test('that dropped packs meanwhile, as the order says, is sent their content again', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    for (const [id, row] of [...r.cp.rows]) {
      if (!id.startsWith('pack ')) continue
      r.cp.gone.push(Number(id.slice(5)))
      r.cp.rows.delete(id)
      r.cp.store.delete(row.key)
    }
    await r.backup()
    expectComplete(r)
    expect(r.cp.asked.filter((type) => type === 'commit.finish').length).toBe(2)
    r.cp.gone.length = 0
    await r.backup()
    expect(r.read().record.bytes.read).toBe(0)
  })

  test('that was emptied gets everything again, the first objects of the vault too, as they were', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    const first = (): string[] =>
      [...r.cp.store].flatMap(([key, bytes]) =>
        /(signers|keys).0-/.test(key) ? [bytes.toString('base64')] : [],
      )
    const before = first()
    r.cp.empty()
    await r.backup()
    expectComplete(r)
    expectNothingLost(r)
    expect([before.length, first()]).toEqual([2, before])
    const written = r.cp.puts.length
    await r.backup()
    expect(r.cp.puts.slice(written).filter((key) => key.includes('/packs/'))).toEqual([])
  })

  test('whose packs are retired is left: their files are read again, and nothing new counts on them', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    const old = [...(r.cp.commits.at(-1)?.live.keys() ?? [])]
    r.cp.retired.push(...old)
    await r.backup()
    expectComplete(r)
    const live = r.cp.commits.at(-1)?.live
    expect(live?.size).toBeGreaterThan(0)
    expect(old.filter((no) => live?.has(no) === true)).toEqual([])
    // Their content is known as it was, should a run be told otherwise.
    r.cp.retired.length = 0
    const written = r.cp.puts.length
    await r.backup()
    expect(r.read().record.bytes.read).toBe(0)
    expect(r.cp.puts.slice(written).filter((put) => put.startsWith('pack '))).toEqual([])
  })
})

describe('an agent that dies', () => {
  test('after any effect leaves a state from which the next backup succeeds', async () => {
    const few = (r: Rig): void => {
      writeFileSync(join(r.source, 'a.txt'), 'hello')
      writeFileSync(join(r.source, 'b'), randomBytes(1000))
    }
    const whole = newRig()
    few(whole)
    await whole.backup()
    const first = whole.cp.effects
    appendFileSync(join(whole.source, 'a.txt'), 'more')
    await whole.backup()
    const all = whole.cp.effects
    expect(first).toBeGreaterThan(10)
    for (let n = 1; n < all; n += 1) {
      const r = newRig()
      few(r)
      r.cp.dieAfter = n
      let died = 0
      const tryBackup = async (): Promise<void> => {
        await r.backup().catch((error: unknown) => {
          died += 1
          expect(String(error)).toContain('the agent died')
        })
      }
      await tryBackup()
      if (died === 0) {
        appendFileSync(join(r.source, 'a.txt'), 'more')
        await tryBackup()
      }
      expect(died).toBe(1)
      r.cp.dieAfter = Infinity
      writeFileSync(join(r.source, 'new'), 'new')
      await r.backup()
      expectComplete(r)
      expectNothingLost(r)
      r.dispose()
    }
  })

  test('does not send again what was confirmed before', async () => {
    const r = newRig()
    for (let i = 0; i < 6; i += 1) writeFileSync(join(r.source, `file ${i}`), randomBytes(3 * MiB))
    r.cp.dieAfter = 18
    await r.backup().catch(() => undefined)
    const packs = new Set(
      [...r.cp.rows]
        .filter(([id, row]) => id.startsWith('pack') && row.state === 'stored')
        .map(([id]) => id),
    )
    expect(packs.size).toBeGreaterThan(0)
    r.cp.dieAfter = Infinity
    await r.backup()
    expectComplete(r)
    expect(r.read().record.bytes.new).toBeLessThan(18 * MiB)
  })

  test('or is canceled commits nothing', async () => {
    const r = newRig()
    fill(r.source)
    const stop = new AbortController()
    stop.abort(new Error('canceled here'))
    await expect(r.backup({ stop: stop.signal })).rejects.toThrow('canceled here')
    expect(r.cp.commits).toEqual([])
    await r.backup()
    expectComplete(r)
  })

  test('and lost its local tree reads everything and sends nothing that the vault has', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    rmSync(join(r.state, 'jobs'), { recursive: true })
    const before = r.cp.puts.length
    await r.backup()
    expect(r.cp.puts.length).toBe(before + 1)
    expect(r.read().record.bytes.new).toBe(0)
    expectComplete(r)
  })

  test('and lost the secret of a vault in use refuses to write into it', async () => {
    const r = newRig()
    fill(r.source)
    await r.backup()
    rmSync(join(r.state, 'vaults'), { recursive: true })
    await expect(r.backup()).rejects.toSatisfy((error) => hasCode(error, 'KEY_REQUIRED'))
  })
})
