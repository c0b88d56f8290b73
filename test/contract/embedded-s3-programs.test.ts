import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { pattern } from '../support/s3-hand.ts'
import { ACCESS_KEY, REGION, SECRET, startS3, type TestS3 } from '../support/s3-server.ts'

/** Where a program is, the distribution's own first: a wrapper of the same name may come before it on the path. */
const find = (name: string): string | null =>
  ['/usr/bin', ...(process.env['PATH'] ?? '').split(delimiter)]
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path)) ?? null

const aws = find('aws')
const s3cmd = find('s3cmd')
const rclone = find('rclone')
const restic = find('restic')

let s3: TestS3
let work = ''
let home = ''
const small = pattern(1000, 1)
const large = pattern(20 * MiB, 2)

beforeAll(async () => {
  s3 = await startS3()
  home = await mkdtemp(join(tmpdir(), 'holdfast-s3-programs-'))
  work = join(home, 'work')
  await mkdir(join(work, 'tree', 'sub'), { recursive: true })
  await writeFile(join(work, 'tree', 'small é+&.txt'), small)
  await writeFile(join(work, 'tree', 'sub', 'large'), large)
})

afterAll(async () => {
  await s3.close()
  await rm(home, { recursive: true, force: true })
})

const run = async (program: string | null, args: readonly string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)(program ?? '', args, {
    cwd: work,
    maxBuffer: 16 * MiB,
    // Nothing of the surrounding configuration: no profiles, proxies or certificate bundles.
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      LANG: 'C.UTF-8',
      AWS_ACCESS_KEY_ID: ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: SECRET,
      AWS_DEFAULT_REGION: REGION,
      AWS_EC2_METADATA_DISABLED: 'true',
      RESTIC_PASSWORD: 'a test',
      RESTIC_REPOSITORY: `s3:${s3.endpoint}/restic/repo`,
    },
  })
  return stdout
}

const same = async (folder: string): Promise<void> => {
  expect((await readFile(join(folder, 'small é+&.txt'))).equals(small)).toBe(true)
  expect((await readFile(join(folder, 'sub', 'large'))).equals(large)).toBe(true)
}

const uploadsLeft = async (bucket: string): Promise<readonly string[]> =>
  readdir(join(s3.folder, '.holdfast-s3', 'uploads', bucket)).catch(() => [])

describe('aws', () => {
  const s3api = async (...args: readonly string[]): Promise<string> =>
    run(aws, ['--endpoint-url', s3.endpoint, ...args])

  test.skipIf(aws === null)(
    'puts, lists, heads, gets, copies and deletes, large files in parts (needs the program aws)',
    async () => {
      await s3api('s3', 'mb', 's3://aws-bucket')
      await s3api('s3', 'cp', '--recursive', 'tree', 's3://aws-bucket/up')
      expect(await s3api('s3', 'ls', '--recursive', 's3://aws-bucket')).toMatch(
        /1000 up\/small é\+&\.txt\n.*20971520 up\/sub\/large/,
      )
      const head = await s3api(
        's3api',
        'head-object',
        '--bucket',
        'aws-bucket',
        '--key',
        'up/sub/large',
      )
      expect(head).toMatch(/"ETag": "\\"[0-9a-f]{32}-\d\\""/)
      await s3api('s3', 'cp', '--recursive', 's3://aws-bucket/up', 'aws-down')
      await same(join(work, 'aws-down'))
      await s3api('s3', 'mv', 's3://aws-bucket/up/sub/large', 's3://aws-bucket/moved')
      const url = (await s3api('s3', 'presign', 's3://aws-bucket/moved')).trim()
      expect(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(large)).toBe(true)
      await s3api('s3', 'rb', '--force', 's3://aws-bucket')
      expect(await s3api('s3', 'ls')).toBe('')
    },
  )
})

describe('s3cmd', () => {
  test.skipIf(s3cmd === null)(
    'puts, lists, gets and deletes, large files in parts (needs the program s3cmd)',
    async () => {
      const host = `127.0.0.1:${s3.port}`
      const options = [
        '--config',
        '/dev/null',
        '--no-ssl',
        '--host',
        host,
        '--host-bucket',
        host,
        '--region',
        REGION,
        '--no-progress',
      ]
      const cmd = async (...args: readonly string[]): Promise<string> =>
        run(s3cmd, [...options, ...args])
      await cmd('mb', 's3://s3cmd-bucket')
      await cmd('sync', '--multipart-chunk-size-mb=8', 'tree/', 's3://s3cmd-bucket/up/')
      expect(await cmd('ls', '--recursive', 's3://s3cmd-bucket')).toMatch(
        /1000\s+s3:\/\/s3cmd-bucket\/up\/small é\+&\.txt/,
      )
      expect(await cmd('info', 's3://s3cmd-bucket/up/sub/large')).toContain('File size: 20971520')
      await mkdir(join(work, 's3cmd-down'))
      await cmd('get', '--recursive', 's3://s3cmd-bucket/up/', 's3cmd-down/')
      await same(join(work, 's3cmd-down'))
      await cmd('del', '--recursive', '--force', 's3://s3cmd-bucket/')
      expect(await cmd('ls', '--recursive', 's3://s3cmd-bucket')).toBe('')
      await cmd('rb', 's3://s3cmd-bucket')
      expect(await uploadsLeft('s3cmd-bucket')).toEqual([])
    },
  )
})

describe('rclone', () => {
  test.skipIf(rclone === null)(
    'copies up, lists, checks, copies down and purges, large files in parts (needs the program rclone)',
    async () => {
      const options = [
        '--config',
        '/dev/null',
        '--s3-provider',
        'Other',
        '--s3-endpoint',
        s3.endpoint,
        '--s3-env-auth',
        '--s3-region',
        REGION,
        '--s3-chunk-size',
        '5M',
        '--s3-upload-cutoff',
        '6M',
        '--retries',
        '1',
      ]
      const clone = async (...args: readonly string[]): Promise<string> =>
        run(rclone, [...options, ...args])
      await clone('copy', 'tree', ':s3:rclone-bucket/up')
      expect((await clone('lsf', '-R', ':s3:rclone-bucket')).split('\n').toSorted()).toEqual([
        '',
        'up/',
        'up/small é+&.txt',
        'up/sub/',
        'up/sub/large',
      ])
      await clone('check', 'tree', ':s3:rclone-bucket/up')
      await clone('copyto', ':s3:rclone-bucket/up/sub/large', ':s3:rclone-bucket/copied')
      await clone('copy', ':s3:rclone-bucket/up', 'rclone-down')
      await same(join(work, 'rclone-down'))
      await clone('purge', ':s3:rclone-bucket/up')
      expect(await clone('lsf', '-R', ':s3:rclone-bucket')).toBe('copied\n')
      expect(await uploadsLeft('rclone-bucket')).toEqual([])
    },
  )
})

describe('restic', () => {
  test.skipIf(restic === null)(
    'keeps a repository there: init, backup, check, restore, forget and prune (needs the program restic)',
    async () => {
      const keep = async (...args: readonly string[]): Promise<string> =>
        run(restic, ['--no-cache', ...args])
      await keep('init')
      await keep('backup', 'tree')
      await writeFile(join(work, 'tree', 'more'), pattern(3 * MiB, 9))
      await keep('backup', 'tree')
      await rm(join(work, 'tree', 'more'))
      await keep('check', '--read-data')
      await keep('restore', 'latest', '--target', 'restic-down')
      await same(join(work, 'restic-down', 'tree'))
      await keep('forget', '--keep-last', '1', '--prune')
      await keep('check', '--read-data')
      const snapshots: unknown = JSON.parse(await keep('snapshots', '--json'))
      expect(Array.isArray(snapshots) && snapshots.length).toBe(1)
    },
  )
})

test('nothing here was an error of the endpoint itself', () => {
  expect(s3.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
