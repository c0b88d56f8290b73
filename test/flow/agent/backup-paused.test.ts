import { mkdirSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fail, hasCode } from '#shared/errors.ts'
import { MiB } from '#shared/units.ts'
import { createBrake } from '#agent/core/brake.ts'
import { nodeFileSystem } from '#agent/io/node-fs.ts'
import { eventLoopTurn } from '#agent/io/world.ts'
import type { FileSystem, Sealers } from '#agent/ports.ts'
import { inlineSealers, type Rig } from '../../support/agent-backup.ts'
import { expectComplete, newRig } from '../../support/agent-backup-checks.ts'
import { eventually } from '../../support/wait.ts'

const FOLDERS = 4

/** Files of which each is a pack, and folders that are walked beside them. */
const fillPacks = (r: Rig): void => {
  for (let n = 0; n < FOLDERS; n += 1) {
    const folder = join(r.source, `folder ${String(n).padStart(2, '0')}`)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'file'), randomBytes(MiB))
  }
}

type Counted = {
  readonly fs: FileSystem
  readonly sealers: Sealers
  readonly work: () => number
  readonly readings: () => number
}

/** Counts every look at a file, and every reading. */
const counted = (): Counted => {
  let [work, readings] = [0, 0]
  const fs = nodeFileSystem()
  const sealers = inlineSealers()
  return {
    work: () => work,
    readings: () => readings,
    fs: {
      ...fs,
      stat: (path) => {
        work += 1
        return fs.stat(path)
      },
    },
    sealers: {
      ...sealers,
      start: (setup, onSealed) => {
        const sealing = sealers.start(setup, onSealed)
        return {
          ...sealing,
          files: async (paths) => {
            work += 1
            readings += 1
            return await sealing.files(paths)
          },
          window: async (window) => {
            work += 1
            readings += 1
            return await sealing.window(window)
          },
        }
      },
    },
  }
}

/** Everything that can still happen has happened. */
const atRest = async (counts: () => number): Promise<void> => {
  let before = -1
  await eventually('nothing to move any more', async () => {
    const rested = counts() === before
    before = counts()
    for (let turn = 0; turn < 50; turn += 1) await eventLoopTurn()
    return rested
  })
}

describe('a paused backup', () => {
  test('reads and sends nothing, wherever it is paused, and completes when it is let go', async () => {
    const whole = newRig(MiB / 8)
    fillPacks(whole)
    await whole.backup()
    const all = whole.cp.puts.length
    for (const after of [1, Math.floor(all / 2), Math.floor(0.8 * all)]) {
      const r = newRig(MiB / 8)
      fillPacks(r)
      const brake = createBrake()
      const { fs, sealers, work } = counted()
      const { upload } = r.cp
      let isPaused = false
      Object.assign(r.cp, {
        upload: async (...put: Parameters<typeof upload>) => {
          const outcome = await upload(...put)
          if (r.cp.puts.length >= after && !isPaused) {
            isPaused = true
            brake.set(true)
          }
          return outcome
        },
      })
      const running = r.backup({ brake, fs, sealers })
      await eventually('the pause', () => brake.on.aborted)
      await atRest(() => r.cp.puts.length + work())
      const [puts, looks] = [r.cp.puts.length, work()]
      expect(r.cp.commits).toEqual([])
      await atRest(() => r.cp.puts.length + work())
      expect([r.cp.puts.length, work()]).toEqual([puts, looks])
      brake.set(false)
      await running
      expectComplete(r)
      // What was on its way when it was paused came to no harm, and nothing is sent twice.
      expect(new Set(r.cp.puts).size).toBe(r.cp.puts.length)
    }
  })

  test('looks at no more of the files, and begins no reading', async () => {
    const r = newRig(MiB / 8)
    await r.backup()
    fillPacks(r)
    const many = join(r.source, 'many')
    mkdirSync(many)
    for (let n = 0; n < 500; n += 1) writeFileSync(join(many, String(n)), '')
    const brake = createBrake()
    const { fs, sealers, work, readings } = counted()
    brake.set(true)
    const running = r.backup({ brake, fs, sealers })
    await eventually('the walk to begin', () => work() > 0)
    await atRest(work)
    expect([readings(), work() < 200]).toEqual([0, true])
    brake.set(false)
    await running
    expectComplete(r)
    expect(work()).toBeGreaterThan(500)
  })

  test('breaks off what it sends, and does not count that as trouble with the store', async () => {
    const r = newRig(MiB / 8)
    fillPacks(r)
    const brake = createBrake()
    const { upload } = r.cp
    let broken = 0
    // The first PUTs hang until they are broken off.
    Object.assign(r.cp, {
      upload: async (...[grant, body, stop]: Parameters<typeof upload>) => {
        if (broken > 2) return await upload(grant, body, stop)
        await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }))
        broken += 1
        return { done: 'failed', problem: 'broken off', regrant: false, lasting: true, slow: true }
      },
    })
    const running = r.backup({ brake })
    await eventually('grants', () => r.cp.asked.includes('grants.request'))
    while (broken <= 2) {
      await eventLoopTurn()
      brake.set(true)
      await eventLoopTurn()
      brake.set(false)
    }
    await running
    expectComplete(r)
    expect(r.cp.told.filter(({ type }) => type === 'log')).toEqual([])
  })

  test('can be stopped', async () => {
    const r = newRig(MiB / 8)
    fillPacks(r)
    const brake = createBrake()
    const stop = new AbortController()
    brake.set(true)
    const running = r.backup({ brake, stop: stop.signal })
    await eventLoopTurn()
    stop.abort(fail('CANCELED'))
    await expect(running).rejects.toSatisfy((error) => hasCode(error, 'CANCELED'))
    expect(r.cp.puts).toEqual([])
  })
})
