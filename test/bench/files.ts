/** The workload `files`: first backup, unchanged backup and restore of a real tree. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Instance, startInstance } from '../support/instance.ts'
import {
  bytesBelow,
  type Cost,
  cpuOf,
  cpuOfThreads,
  family,
  measure,
  peakMemory,
  resetPeak,
} from './measure.ts'
import { findPeers, type Peer, type S3Place } from './peers.ts'
import {
  type BenchResult,
  type BenchSettings,
  medians,
  mediansOfShares,
  ratiosAgainstRestic,
  type Run,
  type Shares,
  type Work,
} from './report.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const VERSION = '0.1.0'

const run = (
  tool: string,
  version: string,
  work: Work,
  cost: Cost & { all: number; stored: number; shares?: Shares },
): Run => ({
  tool,
  version,
  work,
  wall_s: cost.wall_s,
  cpu_s: cost.cpu_s,
  cpu_all_s: cost.all,
  peak_kib: cost.peak_kib,
  stored_bytes: cost.stored,
  ...(cost.shares === undefined ? {} : { shares: cost.shares }),
})

/**
 * The store is a thread of the control plane's process; libuv's threads work for it (files, hashes) and for nobody else
 * that counts.
 */
const isStore = (name: string): boolean => name === 'embedded-s3' || name === 'libuv-worker'

const sharesNow = (instance: Instance, agent: number): Shares => {
  const plane = instance.controlPlane.pid ?? 0
  const store = cpuOfThreads(plane, isStore)
  const below = family(plane).filter((pid) => pid !== plane && pid !== agent)
  return {
    agent: cpuOf([agent]),
    control_plane: cpuOfThreads(plane, () => true) - store,
    store,
    database: cpuOf(below),
  }
}

/** One backup through the running instance: the agent's own cost, and that of all its parts together. */
const backup = async (
  instance: Instance,
  agent: number,
  jobId: string,
): Promise<Cost & { all: number; shares: Shares }> => {
  resetPeak(agent)
  const before = sharesNow(instance, agent)
  const started = performance.now()
  const ended = await instance.backup(jobId)
  const wall = (performance.now() - started) / 1000
  if (ended['status'] !== 'completed' && ended['status'] !== 'partial')
    throw new Error(`the backup ended as ${JSON.stringify(ended)}`)
  const after = sharesNow(instance, agent)
  const shares = {
    agent: after.agent - before.agent,
    control_plane: after.control_plane - before.control_plane,
    store: after.store - before.store,
    database: after.database - before.database,
  }
  return {
    wall_s: wall,
    cpu_s: shares.agent,
    all: shares.agent + shares.control_plane + shares.store + shares.database,
    peak_kib: peakMemory(agent),
    shares,
  }
}

const ours = async (work: string, settings: BenchSettings): Promise<Run[]> => {
  const instance = await startInstance(work)
  try {
    const { agent, jobId } = await instance.protect('bench', settings.tree)
    const pid = agent.pid ?? 0
    const bucket = join(instance.data, 's3')
    const first = await backup(instance, pid, jobId)
    const stored = bytesBelow(bucket)
    const unchanged = await backup(instance, pid, jobId)
    const target = join(work, 'restored')
    const restore = await measure({
      argv: [
        process.execPath,
        ...['--disable-warning=ExperimentalWarning', join(root, 'server/main.ts'), 'open'],
        ...[join(bucket, 'holdfast'), '--identity', instance.kit, 'restore', target],
      ],
    })
    return [
      run('holdfast', VERSION, 'first', { ...first, stored }),
      run('holdfast', VERSION, 'unchanged', { ...unchanged, stored: bytesBelow(bucket) }),
      run('holdfast', VERSION, 'restore', { ...restore, all: restore.cpu_s, stored }),
    ]
  } finally {
    await instance.close()
  }
}

const theirs = async (peer: Peer, work: string, endpoint: number | null): Promise<Run[]> => {
  const runs: Run[] = []
  const timed = async (name: Work, command: Parameters<typeof measure>[0]): Promise<void> => {
    const before = endpoint === null ? 0 : cpuOf([endpoint])
    const cost = await measure(command)
    const served = endpoint === null ? 0 : cpuOf([endpoint]) - before
    runs.push(
      run(peer.tool, peer.version, name, {
        ...cost,
        all: cost.cpu_s + served,
        stored: bytesBelow(peer.stored),
      }),
    )
  }
  for (const command of peer.prepare) await measure(command)
  await timed('first', peer.first)
  if (peer.unchanged !== null) await timed('unchanged', peer.unchanged)
  const target = join(work, `${peer.tool.replaceAll('|', '-')}-restored`)
  mkdirSync(target)
  await timed('restore', peer.restore(target))
  rmSync(target, { recursive: true })
  return runs
}

type Endpoint = { readonly place: S3Place; readonly pid: number; close(): void }

/** The embedded endpoint in a process of its own: what restic's S3 backend talks to. */
const startEndpoint = async (folder: string): Promise<Endpoint> => {
  mkdirSync(join(folder, 'restic'), { recursive: true })
  const keys = ['bench-access', 'bench-secret-of-no-worth'] as const
  const child = spawn(
    process.execPath,
    [join(root, 'test/bench/s3-endpoint.ts'), folder, ...keys],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const port = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (data: Buffer) => resolve(data.toString().trim()))
    child.once('exit', (code) => reject(new Error(`the endpoint ended with ${String(code)}`)))
  })
  return {
    place: {
      endpoint: `http://127.0.0.1:${port}`,
      bucket: 'restic',
      folder: join(folder, 'restic'),
      accessKey: keys[0],
      secretKey: keys[1],
    },
    pid: child.pid ?? 0,
    close: () => child.stdin.end(),
  }
}

const oneRound = async (settings: BenchSettings): Promise<Run[]> => {
  const work = mkdtempSync(join(settings.workIn, 'holdfast-bench-'))
  const endpoint = await startEndpoint(join(work, 's3'))
  try {
    const runs = await ours(join(work, 'holdfast'), settings)
    rmSync(join(work, 'holdfast'), { recursive: true })
    for (const peer of findPeers(work, settings.tree, endpoint.place, settings.say)) {
      const { peers } = settings
      if (peers.length > 0 && !peers.some((name) => peer.tool.startsWith(name))) continue
      settings.say(`  ${peer.tool} ...`)
      runs.push(...(await theirs(peer, work, peer.tool === 'restic-s3' ? endpoint.pid : null)))
      rmSync(peer.stored, { recursive: true, force: true })
    }
    return runs
  } finally {
    endpoint.close()
    rmSync(work, { recursive: true, force: true })
  }
}

export const benchFiles = async (settings: BenchSettings): Promise<BenchResult> => {
  settings.say(`reading ${settings.tree.join(' ')} once, so that nobody pays for a cold cache`)
  await measure({
    argv: ['sh', '-c', 'tar -cf - -- "$@" 2>/dev/null | cat >/dev/null', 'sh', ...settings.tree],
  })
  const runs: Run[] = []
  for (let round = 1; round <= settings.rounds; round += 1) {
    settings.say(`round ${round} of ${settings.rounds}`)
    runs.push(...(await oneRound(settings)))
  }
  const rows = medians(runs)
  return {
    name: 'files',
    runs: rows,
    shares: mediansOfShares(runs),
    ratios: ratiosAgainstRestic(rows),
  }
}
