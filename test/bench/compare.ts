/** One input, backed up twice and restored by Holdfast and by each installed peer in turn. */
import { spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { problemOf } from '#shared/errors.ts'
import { startInstance } from '../support/instance.ts'
import { HOLDFAST_VERSION, machineFacts, peerVersions, type Versions } from './machine.ts'
import { bytesBelow, type Cost, cpuOf, type Holdings, holdingsOf, measure } from './measure.ts'
import { costOfBackup, restoreCommand, storeOf } from './ours.ts'
import { findPeers, type Peer, type S3Place } from './peers.ts'
import { type BenchReport, type BenchSettings, compared } from './report.ts'
import {
  medians,
  mediansOfShares,
  ratiosAgainstRestic,
  type Run,
  type Shares,
  type Work,
} from './runs.ts'
import { inWorkFolder, isLeaving } from './work-folder.ts'

/** What is backed up, in the state before the first backup. */
export type Input = {
  readonly paths: readonly string[]
  /** What a restore has to bring back; null where that may change meanwhile. */
  readonly holds: Holdings | null
  /** Changes it before the second backup, and answers what it holds then; null: that one finds it unchanged. */
  readonly change: (() => Holdings) | null
}

export type Subject = {
  readonly name: string
  /** One line for people. */
  readonly says: string
  /** Makes the input in a folder of its own, for one tool; the same each time. */
  input(folder: string): Promise<Input>
}

const run = (
  [tool, version]: readonly [string, string],
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

/** Changes the input where it is to change; the name of the second backup, and what is to come back. */
const goOn = ({ change, holds }: Input): { work: Work; holds: Holdings | null } =>
  change === null ? { work: 'unchanged', holds } : { work: 'changed', holds: change() }

const refuseLess = (target: string, wanted: Holdings | null): void => {
  if (wanted === null) return
  const found = holdingsOf([target])
  if (found.files !== wanted.files || found.bytes !== wanted.bytes)
    throw new Error(
      `restored were ${found.files} files of ${found.bytes} bytes, not ${wanted.files} of ${wanted.bytes}`,
    )
}

const ours = async (work: string, input: Input): Promise<Run[]> => {
  const instance = await startInstance(work)
  try {
    const server = await instance.protect('bench', input.paths)
    const backup = async (name: Work): Promise<Run> => {
      const cost = await costOfBackup(instance, server)
      const stored = bytesBelow(storeOf(instance))
      return run(['holdfast', HOLDFAST_VERSION], name, { ...cost, stored })
    }
    const first = await backup('first')
    const next = goOn(input)
    const second = await backup(next.work)
    const target = join(work, 'restored')
    const cost = await measure(restoreCommand(instance, target))
    refuseLess(target, next.holds)
    const restored = { ...cost, all: cost.cpu_s, stored: second.stored_bytes }
    return [first, second, run(['holdfast', HOLDFAST_VERSION], 'restore', restored)]
  } finally {
    await instance.close()
  }
}

type Place = { readonly work: string; readonly endpoint: number | null }

const theirs = async (peer: Peer, input: Input, { work, endpoint }: Place): Promise<Run[]> => {
  const runs: Run[] = []
  const timed = async (name: Work, command: Parameters<typeof measure>[0]): Promise<void> => {
    const before = endpoint === null ? 0 : cpuOf([endpoint])
    const cost = await measure(command)
    const served = endpoint === null ? 0 : cpuOf([endpoint]) - before
    const stored = bytesBelow(peer.stored)
    runs.push(run([peer.tool, peer.version], name, { ...cost, all: cost.cpu_s + served, stored }))
  }
  for (const command of peer.prepare) await measure(command)
  await timed('first', peer.first)
  const next = goOn(input)
  // What begins anew each time has no second backup of what did not change.
  if (next.work === 'changed' || !peer.startsOver) await timed(next.work, peer.second)
  const target = join(work, 'restored')
  mkdirSync(target)
  await timed('restore', peer.restore(target))
  refuseLess(target, next.holds)
  return runs
}

type Endpoint = { readonly place: S3Place; readonly pid: number; close(): void }

/** The embedded endpoint in a process of its own: what restic's S3 backend talks to. */
const startEndpoint = async (folder: string): Promise<Endpoint> => {
  mkdirSync(join(folder, 'restic'), { recursive: true })
  const keys = ['bench-access', 'bench-secret-of-no-worth'] as const
  const program = fileURLToPath(new URL('s3-endpoint.ts', import.meta.url))
  const child = spawn(process.execPath, [program, folder, ...keys], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
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

type Tool = { readonly name: string; runs(input: Input): Promise<Run[]> }

const peersIn = (
  work: string,
  endpoint: Endpoint,
  settings: BenchSettings,
  versions: Versions,
): Tool[] => {
  const isWanted = (name: string): boolean =>
    settings.peers.length === 0 || settings.peers.some((wanted) => name.startsWith(wanted))
  const wanted = findPeers(work, endpoint.place, { versions, restic: settings.restic }).filter(
    ({ tool }) => isWanted(tool),
  )
  return wanted.map(({ tool, over }) => ({
    name: tool,
    runs: async (input) => {
      const peer = over(input.paths)
      const through = tool === 'restic-s3' ? endpoint.pid : null
      try {
        return await theirs(peer, input, { work, endpoint: through })
      } catch (error) {
        if (isLeaving()) throw error
        // What a peer cannot do is no reason to lose what the others did.
        settings.say(`  ${tool} failed: not measured: ${problemOf(error).slice(0, 300)}`)
        return []
      } finally {
        for (const path of [peer.stored, join(work, 'restored')])
          rmSync(path, { recursive: true, force: true })
      }
    },
  }))
}

/** Every tool over an input of its own, so that each finds it as it was before the first backup. */
const oneRound = async (
  subject: Subject,
  settings: BenchSettings,
  versions: Versions,
): Promise<Run[]> =>
  await inWorkFolder(settings.workIn, async (work) => {
    const endpoint = await startEndpoint(join(work, 's3'))
    try {
      const us = { name: 'holdfast', runs: async (input: Input) => ours(join(work, 'us'), input) }
      const runs: Run[] = []
      for (const tool of [us, ...peersIn(work, endpoint, settings, versions)]) {
        settings.say(`  ${tool.name} ...`)
        const folder = join(work, 'input')
        runs.push(...(await tool.runs(await subject.input(folder))))
        for (const path of [folder, join(work, 'us')])
          rmSync(path, { recursive: true, force: true })
      }
      return runs
    } finally {
      endpoint.close()
    }
  })

const sayWhoIsMissing = (versions: Versions, say: (line: string) => void): void => {
  for (const program of ['restic', 'borg', 'age', 'zstd'] as const)
    if (versions[program] === undefined) say(`${program} is not installed: not measured`)
}

export const compare = async (subject: Subject, settings: BenchSettings): Promise<BenchReport> => {
  const versions = peerVersions(settings.restic)
  sayWhoIsMissing(versions, settings.say)
  settings.say(`${subject.name}: ${subject.says}`)
  const runs: Run[] = []
  for (let round = 1; round <= settings.rounds; round += 1) {
    settings.say(`round ${round} of ${settings.rounds}`)
    runs.push(...(await oneRound(subject, settings, versions)))
  }
  const rows = medians(runs)
  return compared({
    name: subject.name,
    says: subject.says,
    rounds: settings.rounds,
    scale: settings.scale,
    machine: machineFacts(versions),
    runs: rows,
    shares: mediansOfShares(runs),
    ratios: ratiosAgainstRestic(rows),
  })
}
