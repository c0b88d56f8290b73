import { lstatSync, mkdirSync, readdirSync, symlinkSync, utimesSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { snapshot } from '../../support/same-tree.ts'
import { ask, type RestorePlane } from '../../support/restore-plane.ts'
import { restoreScene } from '../../support/restore-scene.ts'
import { directory, file, type VaultPlace } from '../../support/vault-place.ts'
import type { TestEntry } from '../../support/vault-tree.ts'
import type { WrittenBackup } from '../../support/vault-writer.ts'

let place: VaultPlace
let plane: RestorePlane
let backup: WrittenBackup
afterEach(async () => {
  expect(place.outsideChanges()).toEqual([])
  await plane.close()
  place.remove()
})

describe('a restore to where everything was', () => {
  /** The original place is below the test's own folder, as far as the tree goes. */
  const home = (): string => `${place.target}/home`
  const at = (path: string): string => `${home()}${path}`
  const above = (): TestEntry[] => {
    const names = home().split('/').slice(1)
    return names.map((_, i) => directory(`/${names.slice(0, i + 1).join('/')}`, 0o751))
  }
  const beginAt = async (sources: (home: string) => string[]): Promise<void> => {
    ;({ place, plane } = await restoreScene([directory('/none')]))
    const entries = [
      ...above(),
      directory(at('/docs'), 0o750),
      file(at('/docs/a'), 'a'),
      file(at('/other'), 'other'),
    ]
    backup = place.writer.backup(entries, {
      change: (body) => ({ ...body, sources: [{ type: 'files', paths: sources(home()) }] }),
    })
    mkdirSync(home(), { recursive: true, mode: 0o700 })
    utimesSync(place.target, 1000, 2000)
  }

  test('of everything touches the sources, and nothing above them', async () => {
    await beginAt((dir) => [`${dir}/docs`, `${dir}/gone`])
    const { counts } = await plane.run(plane.order(backup))
    expect(counts).toMatchObject({ files: 1, directories: 1, absent: 0, failed: 0 })
    expect([...snapshot(home()).keys()].sort()).toEqual(['/docs', '/docs/a'])
    expect(lstatSync(home()).mode & 0o777).toBe(0o700)
    expect(lstatSync(place.target).mtimeMs).toBe(2_000_000)
    expect(snapshot(home()).get('/docs')?.['mode']).toBe('750')
  })

  test('refuses by name what lies behind a link that the backup knows as a folder', async () => {
    await beginAt((dir) => [dir])
    symlinkSync(place.outside, at('/docs'))
    const order = plane.order(backup, { conflict: 'overwrite' }, ask(at('/docs'), at('/other')))
    const { counts } = await plane.run(order)
    expect(counts).toMatchObject({ files: 1, failed: 2 })
    expect(lstatSync(at('/docs')).isSymbolicLink()).toBe(true)
    expect(plane.notes()).toMatchObject([
      {
        path: at('/docs'),
        code: 'TARGET_UNSAFE',
        problem: expect.stringMatching(/symbolic link/) as unknown,
      },
      { path: at('/docs/a'), code: 'TARGET_UNSAFE' },
    ])
  })

  test('asks the local policy about each place that is chosen', async () => {
    await beginAt((dir) => [dir])
    const asked: string[] = []
    const barred = (path: string): Error | null => {
      asked.push(path)
      return path.endsWith('/docs') ? new Error('not there') : null
    }
    const order = plane.order(backup, {}, ask(at('/other'), `${at('/docs')}/*`))
    await expect(plane.run(order, { barred })).rejects.toThrow('not there')
    expect(asked).toEqual([at('/other'), at('/docs')])
    expect(readdirSync(home())).toEqual([])
  })
})
