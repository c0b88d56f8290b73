import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { makeIdentity, makeSigningKey, type Identity } from '#shared/format/keys.ts'
import { release, toBase64url } from '#shared/format/bytes.ts'
import type { FilesSource } from '#shared/protocol/orders.ts'
import type { Clock, Log } from '#shared/world.ts'
import { type Brake, createBrake } from '#agent/core/brake.ts'
import { PATIENCE, type Patience } from '#agent/core/patience.ts'
import { runBackup, type BackupParts } from '#agent/flow/backup.ts'
import type { FileSystem, Reading, Sealers } from '#agent/ports.ts'
import { native } from '#agent/io/native.ts'
import { nodeFileSystem } from '#agent/io/node-fs.ts'
import { createWork } from '#agent/io/seal-work.ts'
import { stateFolder } from '#agent/io/state-folder.ts'
import { eventLoopTurn, systemClock, systemRandom } from '#agent/io/world.ts'
import { createControlPlane, type ControlPlane } from './agent-control-plane.ts'
import { readBack, type ReadBack } from './agent-read-back.ts'

const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** Ten seconds ahead, so that what a test has just written counts as settled. */
const later = (): number => Date.now() + 10_000

/** Waits a fiftieth of what it is told. */
const hurried: Clock = {
  ...systemClock,
  now: later,
  sleep: async (span, stop) => await systemClock.sleep(span / 50, stop),
}

/** The sealing threads without threads: the same work, one call after the other. */
export const inlineSealers = (width = 2, now: () => number = later, see = native): Sealers => ({
  width,
  start: (setup, onSealed) => {
    const work = createWork(setup, {
      random: systemRandom,
      now,
      native: see,
      onSealed: (sealed) => onSealed(sealed, () => release(sealed.bytes)),
    })
    const readingOf = (read: ReturnType<typeof work.files>): Reading => ({
      files: read.files,
      place: async (fresh, numbers) =>
        await Promise.resolve(work.place(read.reading, fresh, numbers)),
    })
    return {
      files: async (paths) => await Promise.resolve(readingOf(work.files(paths))),
      window: async (window) => await Promise.resolve(readingOf(work.window(window))),
      segments: async (segments, numbers) =>
        await Promise.resolve(work.segments(segments, numbers)),
      flush: async (kind) => {
        await Promise.resolve()
        work.flush(kind)
      },
      close: async () => await Promise.resolve(),
    }
  },
})

export type Changes = {
  readonly sources?: FilesSource[]
  readonly fs?: FileSystem
  readonly sealers?: Sealers
  readonly stop?: AbortSignal
  readonly patience?: Patience
  readonly brake?: Brake
}

export type Rig = {
  readonly folder: string
  /** What is backed up. */
  readonly source: string
  readonly state: string
  readonly cp: ControlPlane
  readonly identity: Identity
  /** Of the organization's signing key, as a recovery kit has it. */
  readonly organizationSeed: Uint8Array
  /** Runs one backup; throws what the run throws. */
  backup(changes?: Changes): Promise<void>
  /** The newest committed backup. */
  read(): ReadBack
  dispose(): void
}

/** A server with a folder to back up, its agent's state, and a control plane, all new. */
export const rig = (packBytes?: number): Rig => {
  const folder = mkdtempSync(join(tmpdir(), 'hf-agent-'))
  const identity = makeIdentity(randomBytes(32))
  const recovery = makeIdentity(randomBytes(32))
  const list = makeIdentity(randomBytes(32))
  const recipients = {
    content: [identity.recipient.text],
    recovery: [recovery.recipient.text],
    list: [list.recipient.text],
  }
  const cp = createControlPlane(recipients, packBytes)
  const source = join(folder, 'source')
  const state = join(folder, 'state')
  const signer = makeSigningKey(randomBytes(32))
  const organizationSeed = randomBytes(32)
  const organization = makeSigningKey(organizationSeed)
  const parts = (changes: Changes): BackupParts => ({
    fs: changes.fs ?? nodeFileSystem(),
    state: stateFolder(state),
    world: {
      clock: hurried,
      random: systemRandom,
      log: silent,
      turn: eventLoopTurn,
    },
    sealers: changes.sealers ?? inlineSealers(),
    upload: cp.upload,
    patience: changes.patience ?? PATIENCE,
    signer,
    organizationKey: toBase64url(organization.publicKey),
    host: { hostname: 'host', os: 'linux', kernel: '6', arch: 'x64', agent: '0' },
    brake: changes.brake ?? createBrake(),
  })
  return {
    folder,
    source,
    state,
    cp,
    identity,
    organizationSeed,
    backup: async (changes = {}) => {
      const order = cp.order(changes.sources ?? [{ type: 'files', paths: [source] }])
      const stop = changes.stop ?? new AbortController().signal
      await runBackup(parts(changes), order, cp.link(order), stop)
    },
    read: () => {
      const last = cp.commits.at(-1)
      if (last === undefined) throw new Error('no backup')
      return readBack(cp.store, last.recordKey, [identity])
    },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  }
}
