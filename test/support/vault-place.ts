/** A vault on disk with an identity file, a place to restore into, and something outside that must stay as it is. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Entry } from '#shared/format/tree.ts'
import { differences, snapshot } from './same-tree.ts'
import { seeded } from './seeded.ts'
import { createVaultWriter, type VaultWriter, type WriterOptions } from './vault-writer.ts'
import type { TestEntry } from './vault-tree.ts'
import { type OpenRun, runOpen } from './run-open.ts'

export const META = { mode: 0o644, uid: 0, gid: 0, mtime: 1_700_000_000_123_456_789n }

export const file = (
  path: string,
  data: string | Uint8Array,
  more: Partial<Entry> = {},
): TestEntry => {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data
  return {
    ...placeOf(path),
    data: bytes,
    entry: { ...META, type: 'file', size: bytes.length, ...more },
  }
}

export const directory = (path: string, mode = 0o755): TestEntry => ({
  ...placeOf(path),
  entry: { ...META, mode, type: 'directory' },
})

export const symlink = (path: string, target: string): TestEntry => ({
  ...placeOf(path),
  entry: { ...META, type: 'symlink', target },
})

const placeOf = (path: string): { readonly dir: string; readonly name: string } => {
  const cut = path.lastIndexOf('/')
  return { dir: cut === 0 ? '/' : path.slice(0, cut), name: path.slice(cut + 1) }
}

export type VaultPlace = {
  readonly folder: string
  readonly bucket: string
  readonly target: string
  readonly outside: string
  readonly writer: VaultWriter
  /** `open` on it with its identity and `--json`; writes the vault's objects first. */
  open(...args: readonly string[]): Promise<OpenRun>
  /** What changed outside the target since the beginning. */
  outsideChanges(): readonly string[]
  remove(): void
}

export const vaultPlace = (
  name: string,
  options: Omit<WriterOptions, 'random'> = {},
): VaultPlace => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-vault-'))
  const [bucket, target, outside] = ['bucket', 'target', 'outside'].map((sub) => join(folder, sub))
  if (bucket === undefined || target === undefined || outside === undefined) throw new Error(name)
  mkdirSync(outside)
  writeFileSync(join(outside, 'victim'), 'as it was')
  const before = snapshot(outside)
  const writer = createVaultWriter({ random: seeded(name).bytes, ...options })
  writeFileSync(join(folder, 'identity'), `# a key\n${writer.identity.text}\n`)
  return {
    folder,
    bucket,
    target,
    outside,
    writer,
    open: async (...args) => {
      writer.writeTo(bucket)
      return runOpen([bucket, '--identity', join(folder, 'identity'), '--json', ...args])
    },
    outsideChanges: () => differences(before, snapshot(outside)),
    remove: () => {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
