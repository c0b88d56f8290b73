/**
 * `node --import generated.ts memory-agent.ts FOLDER COUNT BYTES BACKUPS`: the agent's data path over generated files,
 * with its real threads and state files. One JSON line a second, and one after each backup.
 */
import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { toBase64url } from '#shared/format/bytes.ts'
import { makeIdentity, makeSigningKey } from '#shared/format/keys.ts'
import { PATIENCE } from '#agent/core/patience.ts'
import { createBrake } from '#agent/core/brake.ts'
import { runBackup } from '#agent/flow/backup.ts'
import { lineLog } from '#agent/io/log.ts'
import { boundMemory } from '#agent/io/memory.ts'
import { stateFolder } from '#agent/io/state-folder.ts'
import { poolOf } from '#agent/io/workers.ts'
import { eventLoopTurn, systemClock, systemRandom } from '#agent/io/world.ts'
import type { FileSystem } from '#agent/ports.ts'
import { createCountingPlane } from './counting-plane.ts'
import { generatedFiles, generatedFolder } from './generated.ts'
import { memoryNow, peakMemory } from './measure.ts'
import type { Sample } from './memory.ts'

const SAMPLE_MS = 1000
/** As agent/config.ts has it. */
const MOST_THREADS = 8

const [folder = '', count = '', bytes = '', backups = ''] = process.argv.slice(2)
boundMemory()
const recipient = (): string[] => [makeIdentity(randomBytes(32)).recipient.text]
const plane = createCountingPlane({
  content: recipient(),
  recovery: recipient(),
  list: recipient(),
})
let seen = 0
const files = generatedFiles()
/** Counts the entries that the walk has looked at. */
const fs: FileSystem = {
  ...files,
  stat: (path) => {
    seen += 1
    return files.stat(path)
  },
}
const parts = {
  fs,
  state: stateFolder(folder),
  world: { clock: systemClock, random: systemRandom, log: lineLog('warn'), turn: eventLoopTurn },
  sealers: poolOf(Math.min(MOST_THREADS, availableParallelism())),
  upload: plane.upload,
  patience: PATIENCE,
  signer: makeSigningKey(randomBytes(32)),
  organizationKey: toBase64url(makeSigningKey(randomBytes(32)).publicKey),
  host: { hostname: 'host', os: 'linux', kernel: '6', arch: 'x64', agent: '0' },
  brake: createBrake(),
}

const started = performance.now()
const tell = (backup: number, done: boolean): void => {
  const sample: Sample = {
    backup,
    done,
    seconds: (performance.now() - started) / 1000,
    entries: seen,
    stored_bytes: plane.bytes,
    objects: plane.objects,
    rss_kib: memoryNow(process.pid),
    peak_kib: peakMemory(process.pid),
  }
  process.stdout.write(`${JSON.stringify(sample)}\n`)
}

const path = generatedFolder(Number(count), Number(bytes))
for (let backup = 1; backup <= Number(backups); backup += 1) {
  const timer = setInterval(() => tell(backup, false), SAMPLE_MS)
  const order = plane.order(path)
  await runBackup(parts, order, plane.link(order), new AbortController().signal)
  clearInterval(timer)
  tell(backup, true)
}
