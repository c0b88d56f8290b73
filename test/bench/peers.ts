/** The peers that a workload is run with, where they are installed. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from './measure.ts'

/** One way to use a peer: commands over a fresh folder of its own. Peer programs get their paths as whole arguments. */
export type Peer = {
  readonly tool: string
  readonly version: string
  /** The folder whose bytes count as stored. */
  readonly stored: string
  readonly prepare: readonly Command[]
  readonly first: Command
  readonly unchanged: Command | null
  readonly restore: (target: string) => Command
}

export type S3Place = {
  readonly endpoint: string
  readonly bucket: string
  readonly folder: string
  readonly accessKey: string
  readonly secretKey: string
}

const versionOf = (program: string, args: readonly string[], pattern: RegExp): string | null => {
  try {
    return pattern.exec(execFileSync(program, args, { encoding: 'utf8' }))?.[1] ?? 'unknown'
  } catch {
    return null
  }
}

type ResticSettings = {
  readonly tool: string
  readonly repository: string
  readonly stored: string
  readonly env: Readonly<Record<string, string>>
}

const restic = (version: string, place: ResticSettings, tree: readonly string[]): Peer => {
  const env = { RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: `${place.stored}-cache`, ...place.env }
  const run = (...args: string[]): Command => ({
    argv: ['restic', '--quiet', '--repo', place.repository, ...args],
    env,
  })
  return {
    tool: place.tool,
    version,
    stored: place.stored,
    prepare: [run('init')],
    first: run('backup', ...tree),
    unchanged: run('backup', ...tree),
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
    unchanged: create('second'),
    restore: (target) => ({ argv: ['borg', 'extract', `${folder}::first`], env, cwd: target }),
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
      'else age -d -i "$3" "$2" | zstd -q -d | tar -xf - -C "$4"; fi',
    ].join('\n'),
  )
  const file = join(folder, 'backup.tar.zst.age')
  return {
    tool: 'tar|zstd|age',
    version,
    stored: folder,
    prepare: [],
    first: { argv: ['sh', script, 'backup', file, recipient, ...tree] },
    unchanged: null,
    restore: (target) => ({ argv: ['sh', script, 'restore', file, key, target] }),
  }
}

/** Every peer that is installed, over fresh folders in `work`; the others are named through `say`. */
export const findPeers = (
  work: string,
  tree: readonly string[],
  s3: S3Place,
  say: (line: string) => void,
): Peer[] => {
  const peers: Peer[] = []
  const resticVersion = versionOf('restic', ['version'], /restic (\S+)/)
  if (resticVersion === null) say('restic is not installed: not measured')
  else
    peers.push(
      restic(
        resticVersion,
        {
          tool: 'restic-local',
          repository: join(work, 'restic'),
          stored: join(work, 'restic'),
          env: {},
        },
        tree,
      ),
      restic(
        resticVersion,
        {
          tool: 'restic-s3',
          repository: `s3:${s3.endpoint}/${s3.bucket}`,
          stored: s3.folder,
          env: { AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey },
        },
        tree,
      ),
    )
  const borgVersion = versionOf('borg', ['--version'], /borg (\S+)/)
  if (borgVersion === null) say('borg is not installed: not measured')
  else peers.push(borg(borgVersion, join(work, 'borg'), tree))
  const ageVersion = versionOf('age', ['--version'], /v?(\S+)/)
  if (ageVersion === null || versionOf('zstd', ['--version'], /v(\d\S+\d)/) === null)
    say('age or zstd is not installed: tar|zstd|age not measured')
  else peers.push(pipe(ageVersion, join(work, 'pipe'), tree))
  return peers
}
