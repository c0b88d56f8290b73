import { mkdirSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import type { Problem } from '#agent/core/restore-job.ts'
import type { RestoreRunParts } from '#agent/flow/restore-run.ts'
import { restoreWorld } from '#agent/io/restore-world.ts'
import { systemClock } from '#agent/io/world.ts'
import { fail } from '#shared/errors.ts'
import type { RestorePlane } from '../../support/restore-plane.ts'
import { halfMade, restoreScene, sixtyFiles } from '../../support/restore-scene.ts'
import { directory, file, type VaultPlace } from '../../support/vault-place.ts'
import type { WrittenBackup } from '../../support/vault-writer.ts'
import { eventually } from '../../support/wait.ts'

let place: VaultPlace
let plane: RestorePlane
let backup: WrittenBackup
afterEach(async () => {
  expect(place.outsideChanges()).toEqual([])
  await plane.close()
  place.remove()
})

const begin = async (): Promise<void> => {
  ;({ place, plane, backup } = await sixtyFiles())
}
const isPack = (key: string): boolean => key.includes('/packs/')
const left = (): string[] => halfMade(place.target)

describe('a disk that is full', () => {
  const full = (path: string): Problem => ({
    code: 'TARGET_UNWRITABLE',
    details: { path, problem: 'there is no space left', system: 'ENOSPC' },
  })
  /** Threads whose files find no space, from one of them on, or now and then. */
  const without = (isFull: (file: number) => boolean): RestoreRunParts['extractors'] => {
    let files = 0
    return () => ({
      width: 2,
      run: async (job) => {
        const made = job.files.map(({ name }) => (isFull((files += 1)) ? full(name) : null))
        const pieces = job.frames.map((frame) => frame.pieces.map(() => null))
        return Promise.resolve({ files: made, pieces, notSet: [], fetched: 0 })
      },
      close: async () => Promise.resolve(),
    })
  }
  const many = async (): Promise<void> => {
    ;({ place, plane, backup } = await restoreScene([
      directory('/d'),
      ...Array.from({ length: 400 }, (_, i) => file(`/d/f${String(i)}`, '')),
    ]))
  }

  test('ends the restore, for all that is left would have to be fetched in vain', async () => {
    await many()
    const order = plane.order(backup, { target: place.target })
    const running = plane.run(order, { extractors: without((n) => n > 50) })
    await expect(running).rejects.toMatchObject({ code: 'TARGET_UNWRITABLE' })
    expect(plane.notes().length).toBe(100)
  })

  test('for some of the files does not end it', async () => {
    await many()
    const order = plane.order(backup, { target: place.target })
    const { counts } = await plane.run(order, { extractors: without((n) => n % 4 !== 0) })
    expect(counts).toMatchObject({ files: 100, failed: 300 })
  })
})

describe('a restore that is canceled', () => {
  const canceled = async (when: (key: string) => boolean): Promise<void> => {
    const stop = new AbortController()
    let isHanging = false
    // The store takes the request, and never answers.
    plane.mood = (_, __, key) => {
      if (!when(key)) return false
      isHanging = true
      return true
    }
    const { extractors } = restoreWorld(2)
    const order = plane.order(backup, { target: place.target })
    const running = plane.run(order, { stop: stop.signal, extractors })
    running.catch(() => undefined)
    await eventually('a read that hangs', () => isHanging)
    stop.abort(fail('CANCELED'))
    await expect(running).rejects.toMatchObject({ code: 'CANCELED' })
  }

  test.each([
    ['the record is read', (key: string): boolean => key.includes('/backups/')],
    ['the tree is read', (key: string): boolean => key.includes('/trees/')],
    ['content is read', isPack],
  ])('while %s ends at once and leaves nothing half-made', async (_, when) => {
    await begin()
    await canceled(when)
    expect(left()).toEqual([])
    expect(plane.notes()).toEqual([])
  })

  test('leaves no tag behind; what one that was killed has left goes with the next to that place', async () => {
    await begin()
    await canceled(isPack)
    const tags = (): string => Buffer.from(plane.files.get('restores.json') ?? []).toString()
    expect(JSON.parse(tags())).toEqual({ version: 1, tags: [] })
    const killed = { tag: '0123456789ab', target: place.target, begun: systemClock.now() }
    plane.files.set(
      'restores.json',
      Buffer.from(JSON.stringify({ version: 1, tags: [killed, { ...killed, target: '/x' }] })),
    )
    mkdirSync(`${place.target}/d`, { recursive: true })
    for (const name of ['.holdfast-0123456789ab-0-7', '.holdfast-aaaaaaaaaaaa-0-7'])
      writeFileSync(`${place.target}/d/${name}`, 'half')
    plane.mood = () => false
    await plane.run(plane.order(backup, { target: place.target }))
    expect(left()).toEqual(['/d/.holdfast-aaaaaaaaaaaa-0-7'])
    expect(tags()).toContain('0123456789ab')
  })
})
