import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { rig, type Rig } from '../../support/agent-backup.ts'

let open: Rig[] = []
afterEach(() => {
  for (const one of open) one.dispose()
  open = []
})
const newRig = (packBytes?: number): Rig => {
  const one = rig(packBytes)
  mkdirSync(one.source, { recursive: true })
  open.push(one)
  return one
}
const OLD = new Date('2026-01-02T03:04:05Z')
/** Files whose times do not change between runs count as settled only once they are old. */
const write = (path: string, content: string | Uint8Array): void => {
  writeFileSync(path, content)
  utimesSync(path, OLD, OLD)
}

test('a backup opens with the key and gives every file back', async () => {
  const r = newRig()
  mkdirSync(join(r.source, 'sub/deep'), { recursive: true })
  write(join(r.source, 'a.txt'), 'hello')
  write(join(r.source, 'empty'), '')
  const large = randomBytes(9 * 1024 * 1024)
  write(join(r.source, 'sub/large'), large)
  write(join(r.source, 'sub/deep/ü.txt'), 'umlaut')
  symlinkSync('../a.txt', join(r.source, 'sub/link'))
  await r.backup()
  const { entries, record } = r.read()
  const at = (
    name: string,
  ): { content: Buffer; entry: { type: string; target?: string } } | undefined =>
    entries.get(Buffer.from(join(r.source, name)).toString('latin1'))
  expect(at('a.txt')?.content.toString()).toBe('hello')
  expect(at('empty')?.content.length).toBe(0)
  expect(at('sub/large')?.content.equals(large)).toBe(true)
  expect(at('sub/deep/ü.txt')?.content.toString()).toBe('umlaut')
  expect(at('sub/link')?.entry.target).toBe('../a.txt')
  expect(at('')?.entry.type).toBe('directory')
  expect(record.counts.files).toBe(4)
  expect(record.errors.count).toBe(0)
})
;(void linkSync, void readdirSync, void rmSync, void appendFileSync)
