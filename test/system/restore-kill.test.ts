import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { seeded } from '../support/seeded.ts'
import { directory, file, type VaultPlace, vaultPlace } from '../support/vault-place.ts'

const MAIN = new URL('../../agent/main.ts', import.meta.url).pathname
const FILES = 3000

let place: VaultPlace
afterEach(() => {
  place.remove()
})

const start = (): { readonly child: ChildProcess; readonly ended: Promise<number | null> } => {
  place.writer.writeTo(place.bucket)
  const identity = ['--identity', join(place.folder, 'identity')]
  const child = spawn(
    process.execPath,
    [MAIN, 'open', place.bucket, ...identity, 'restore', place.target],
    {
      stdio: 'ignore',
    },
  )
  return { child, ended: new Promise((resolve) => child.once('close', resolve)) }
}

const restored = (): string[] => {
  const folder = join(place.target, 'd')
  return existsSync(folder) ? readdirSync(folder) : []
}

const until = async (condition: () => boolean, child: ChildProcess): Promise<void> => {
  for (let i = 0; i < 6000 && !condition() && child.exitCode === null; i += 1) await sleep(5)
}

const write = (name: string): Map<string, Uint8Array> => {
  place = vaultPlace(name, { chunk: 70_000, frameTarget: 30_000, packTarget: 4_000_000 })
  const chance = seeded(name)
  const files = new Map<string, Uint8Array>()
  for (let i = 0; i < FILES; i += 1) {
    files.set(`f${i}`, chance.bytes(i % 20 === 0 ? 200_000 : 3000))
  }
  place.writer.backup([
    directory('/d'),
    ...[...files].map(([one, bytes]) => file(`/d/${one}`, bytes)),
  ])
  return files
}

/** Those that stand under their right name; throws when one of them is not right. */
const check = (files: ReadonlyMap<string, Uint8Array>): number => {
  const names = restored().filter((name) => !name.startsWith('.holdfast-'))
  for (const name of names) {
    const bytes = readFileSync(join(place.target, 'd', name))
    expect([name, Buffer.compare(bytes, files.get(name) ?? new Uint8Array())]).toEqual([name, 0])
  }
  return names.length
}

test('a restore that is killed leaves no wrong content under any right name', async () => {
  const files = write('killed')
  const { child, ended } = start()
  await until(() => restored().length > 400, child)
  child.kill('SIGKILL')
  await ended
  const count = check(files)
  expect(count).toBeGreaterThan(0)
  expect(count).toBeLessThan(FILES)
})

test('a restore that is interrupted ends with 130 and leaves nothing unfinished', async () => {
  const files = write('interrupted')
  const { child, ended } = start()
  await until(() => restored().length > 400, child)
  child.kill('SIGINT')
  expect(await ended).toBe(130)
  expect(check(files)).toBeLessThan(FILES)
  expect(restored().filter((name) => name.startsWith('.holdfast-'))).toEqual([])
})
