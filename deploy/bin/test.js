#!/usr/bin/env node
// `npm test`: everything. As root on Debian it installs the programs that the tests compare us with; elsewhere the
// suites that need a missing one are skipped, by name and reason.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { runChecks } from './checks.js'

const PEERS = {
  age: '/usr/bin/age',
  zstd: '/usr/bin/zstd',
  jq: '/usr/bin/jq',
  curl: '/usr/bin/curl',
  awscli: '/usr/bin/aws',
  s3cmd: '/usr/bin/s3cmd',
  rclone: '/usr/bin/rclone',
  restic: '/usr/bin/restic',
  postgresql: '/usr/lib/postgresql/15/bin/postgres',
}

const apt = (args) =>
  spawnSync('apt-get', ['-qq', '-o', 'Dpkg::Use-Pty=0', ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    encoding: 'utf8',
  })

const missing = () => Object.keys(PEERS).filter((name) => !existsSync(PEERS[name]))

const installPeers = () => {
  const names = missing()
  if (names.length === 0) return
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return
  process.stderr.write(`holdfast: installing ${names.join(', ')} for the tests ...\n`)
  apt(['update'])
  const result = apt(['install', '-y', '--no-install-recommends', ...names])
  if (result.status !== 0) process.stderr.write(result.stderr ?? '')
}

installPeers()
const still = missing()
if (still.length > 0)
  process.stderr.write(
    `holdfast: not installed: ${still.join(', ')}; the tests that need them will be skipped\n`,
  )
process.exitCode = await runChecks([], process.argv.slice(2))
