/** The peers that a workload is run with, where they are installed. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Versions } from './machine.ts'
import type { Command } from './measure.ts'

/** One way to use a peer: commands over a fresh folder of its own. Peer programs get their paths as whole arguments. */
export type Peer = {
  readonly tool: string
  readonly version: string
  /** The folder whose bytes count as stored. */
  readonly stored: string
  readonly prepare: readonly Command[]
  readonly first: Command
  readonly second: Command
  /** The second backup knows nothing of the first. */
  readonly startsOver: boolean
  /** The newest backup. */
  readonly restore: (target: string) => Command
}

export type S3Place = {
  readonly endpoint: string
  readonly bucket: string
  readonly folder: string
  readonly accessKey: string
  readonly secretKey: string
}

/** A peer that is installed; `over`: how it is used on these paths. */
export type PeerKind = {
  readonly tool: string
  readonly over: (paths: readonly string[]) => Peer
}

type ResticSettings = {
  readonly program: string
  readonly tool: string
  readonly repository: string
  readonly stored: string
  readonly env: Readonly<Record<string, string>>
}

const restic = (version: string, place: ResticSettings, tree: readonly string[]): Peer => {
  const env = { RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: `${place.stored}-cache`, ...place.env }
  const run = (...args: string[]): Command => ({
    argv: [place.program, '--quiet', '--repo', place.repository, ...args],
    env,
  })
  return {
    tool: place.tool,
    version,
    stored: place.stored,
    prepare: [run('init')],
    first: run('backup', ...tree),
    second: run('backup', ...tree),
    startsOver: false,
    restore: (target) => run('restore', 'latest', '--target', target),
  }
}

const borg = (version: string, folder: string, tree: readonly string[]): Peer => {
  const env = {
    BORG_PASSPHRASE: 'bench',
    BORG_BASE_DIR: `${folder}-base`,
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
    BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
  }
  const create = (archive: string): Command => ({
    argv: ['borg', 'create', '--compression', 'zstd,3', `${folder}::${archive}`, ...tree],
    env,
  })
  return {
    tool: 'borg',
    version,
    stored: folder,
    prepare: [{ argv: ['borg', 'init', '--encryption', 'repokey-blake2', folder], env }],
    first: create('first'),
    second: create('second'),
    startsOver: false,
    restore: (target) => ({ argv: ['borg', 'extract', `${folder}::second`], env, cwd: target }),
  }
}

/** No deduplication and no catalogue: the least that an encrypted backup can cost. */
const pipe = (version: string, folder: string, tree: readonly string[]): Peer => {
  mkdirSync(folder, { recursive: true })
  const key = `${folder}-key.txt`
  if (!existsSync(key)) execFileSync('age-keygen', ['-o', key], { stdio: 'ignore' })
  const recipient = execFileSync('age-keygen', ['-y', key], { encoding: 'utf8' }).trim()
  const script = `${folder}-pipe.sh`
  writeFileSync(
    script,
    [
      'set -e',
      'if [ "$1" = backup ]; then shift; to=$1; shift; who=$1; shift',
      '  tar -cf - -- "$@" 2>/dev/null | zstd -q -3 | age -r "$who" > "$to"',
      'else newest=$(ls "$2"/*.age | tail -n 1)',
      '  age -d -i "$3" "$newest" | zstd -q -d | tar -xf - -C "$4"; fi',
    ].join('\n'),
  )
  const backup = (name: string): Command => ({
    argv: ['sh', script, 'backup', join(folder, `${name}.tar.zst.age`), recipient, ...tree],
  })
  return {
    tool: 'tar|zstd|age',
    version,
    stored: folder,
    prepare: [],
    first: backup('1'),
    second: backup('2'),
    startsOver: true,
    restore: (target) => ({ argv: ['sh', script, 'restore', folder, key, target] }),
  }
}

export type Installed = {
  readonly versions: Versions
  /** The program that stands for restic. */
  readonly restic: string
}

/** Every peer that is installed, each over a fresh folder in `work`. */
export const findPeers = (
  work: string,
  s3: S3Place,
  { versions, restic: program }: Installed,
): PeerKind[] => {
  const peers: PeerKind[] = []
  const add = (tool: string, over: PeerKind['over']): void => void peers.push({ tool, over })
  const folder = (name: string): string => join(work, name)
  const { restic: resticVersion, borg: borgVersion, age, zstd } = versions
  if (resticVersion !== undefined) {
    const repository = folder('restic')
    const local = { program, tool: 'restic-local', repository, stored: repository }
    add(local.tool, (paths) => restic(resticVersion, { ...local, env: {} }, paths))
    const remote = {
      program,
      tool: 'restic-s3',
      repository: `s3:${s3.endpoint}/${s3.bucket}`,
      stored: s3.folder,
      env: { AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey },
    }
    add(remote.tool, (paths) => restic(resticVersion, remote, paths))
  }
  if (borgVersion !== undefined) add('borg', (paths) => borg(borgVersion, folder('borg'), paths))
  if (age !== undefined && zstd !== undefined)
    add('tar|zstd|age', (paths) => pipe(age, folder('pipe'), paths))
  return peers
}
