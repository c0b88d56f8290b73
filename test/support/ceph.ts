/**
 * A real one-node Ceph with its S3 gateway, from Debian's packages, private in a temporary folder: monitor, disk, gateway.
 * No manager: it serves what nobody asks for here (metrics, modules), and takes more memory than the other three.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import {
  closeSync,
  mkdirSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Ms, SECOND } from '#shared/units.ts'
import {
  cephConfig,
  type CephPlaces,
  cephPlaces,
  type CephPorts,
  monAddress,
} from './ceph-config.ts'
import type { Needed } from './debian-packages.ts'
import { freePort } from './free-port.ts'
import { ended } from './instance.ts'
import { eventually } from './wait.ts'

const run = promisify(execFile)

export type CephKeys = { readonly accessKeyId: string; readonly secretAccessKey: string }

export type Ceph = {
  readonly port: number
  readonly endpoint: string
  readonly keys: CephKeys
  readonly version: string
  /** Resident memory of each part, in bytes, and what the folder takes of the disk. */
  usage(): Promise<Readonly<Record<string, number>>>
  /** The gateway again on its port, with its clock so far ahead of everybody else's. */
  restartGateway(shift: Ms): Promise<void>
  close(): Promise<void>
}

export const CEPH_PACKAGES: readonly Needed[] = [
  { file: '/usr/bin/ceph-mon', name: 'ceph-mon' },
  { file: '/usr/bin/ceph-osd', name: 'ceph-osd' },
  { file: '/usr/bin/ceph', name: 'ceph-common' },
  { file: '/usr/bin/radosgw', name: 'radosgw' },
]
/** For a gateway whose clock is another one. */
export const FAKETIME_PACKAGE: Needed = { file: '/usr/bin/faketime', name: 'faketime' }

const START = 60 * SECOND
const TERMINATE = 10 * SECOND

type Part = { readonly name: string; child: ChildProcess }

type Setting = {
  readonly places: CephPlaces
  readonly ports: CephPorts
  readonly parts: Part[]
}

const tool = async (
  { places }: Setting,
  program: string,
  args: readonly string[],
): Promise<string> => (await run(program, ['-c', places.config, ...args])).stdout

const logOf = ({ places }: Setting, name: string): string => {
  try {
    return readFileSync(join(places.root, 'run', `${name}.out`), 'utf8').slice(-4000)
  } catch {
    return ''
  }
}

/** Ends what it starts when whoever started it is gone, however that ended. */
const BOUND = ['/usr/bin/setpriv', '--pdeathsig', 'KILL'] as const

/** Each part in the foreground, its words in a file; ended by its own id. */
const startPart = (
  setting: Setting,
  name: string,
  command: { readonly args: readonly string[]; readonly env?: NodeJS.ProcessEnv },
): Part => {
  const { places } = setting
  const [setpriv, ...bound] = BOUND
  const [program = '', ...args] = command.args
  const out = openSync(join(places.root, 'run', `${name}.out`), 'a')
  const child = spawn(setpriv, [...bound, program, '-c', places.config, '-f', ...args], {
    stdio: ['ignore', out, out],
    env: { ...process.env, ...command.env },
  })
  closeSync(out)
  const part = { name, child }
  setting.parts.push(part)
  return part
}

const stopPart = async (setting: Setting, part: Part): Promise<void> => {
  const { child } = part
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), TERMINATE)
  await ended(child)
  clearTimeout(late)
  setting.parts.splice(setting.parts.indexOf(part), 1)
}

/** Waits for `look`, and fails at once with what the part said when it has ended. */
const ready = async (
  setting: Setting,
  { name, child }: Part,
  look: () => Promise<boolean>,
): Promise<void> => {
  await eventually(
    `the start of ${name}`,
    async () => {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${name} ended: ${logOf(setting, name)}`)
      return look().catch(() => false)
    },
    START,
  )
}

const CAPS: readonly (readonly [string, readonly string[]])[] = [
  ['mon.', ['--cap', 'mon', 'allow *']],
  ['client.admin', ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *']],
  ['osd.0', ['--cap', 'mon', 'allow profile osd', '--cap', 'osd', 'allow *']],
  ['client.rgw', ['--cap', 'mon', 'allow rw', '--cap', 'osd', 'allow rwx']],
]

const makeCluster = async (setting: Setting): Promise<void> => {
  const { places, ports } = setting
  const fsid = randomUUID()
  for (const name of ['mon', 'osd', 'rgw', 'run']) mkdirSync(join(places.root, name))
  writeFileSync(places.config, cephConfig(places, ports, fsid))
  for (const [index, [name, caps]] of CAPS.entries()) {
    const create = index === 0 ? ['--create-keyring'] : []
    await run('ceph-authtool', [...create, places.keyring, '--gen-key', '-n', name, ...caps])
  }
  const map = ['--create', '--addv', 'a', monAddress(ports), '--fsid', fsid, places.monmap]
  await run('monmaptool', map)
  const first = ['--mkfs', '-i', 'a', '--monmap', places.monmap, '--keyring', places.keyring]
  await tool(setting, 'ceph-mon', first)
}

const startStorage = async (setting: Setting): Promise<void> => {
  const mon = startPart(setting, 'mon', {
    args: ['ceph-mon', '-i', 'a', '--public-addr', '127.0.0.1'],
  })
  const ask = ['--connect-timeout', '5']
  await ready(setting, mon, async () => {
    await tool(setting, 'ceph', [...ask, '-s'])
    return true
  })
  const uuid = randomUUID()
  await tool(setting, 'ceph', ['osd', 'new', uuid, '0'])
  await tool(setting, 'ceph-osd', ['-i', '0', '--mkfs', '--osd-uuid', uuid])
  const osd = startPart(setting, 'osd', { args: ['ceph-osd', '-i', '0'] })
  await ready(setting, osd, async () =>
    (await tool(setting, 'ceph', [...ask, 'osd', 'stat'])).includes('1 up'),
  )
}

/** The library that the program `faketime` preloads, in the folder of whatever machine this is. */
const fakeLibrary = (): string => {
  const found = readdirSync('/usr/lib')
    .map((name) => join('/usr/lib', name, 'faketime', 'libfaketime.so.1'))
    .find((path) => existsSync(path))
  if (found === undefined) throw new Error('libfaketime is not installed')
  return found
}

/** Only what the clock shows is another time: waiting goes on as ever. */
const shifted = (span: Ms): NodeJS.ProcessEnv =>
  span === 0
    ? {}
    : {
        LD_PRELOAD: fakeLibrary(),
        FAKETIME: `${span >= 0 ? '+' : ''}${span / SECOND}s`,
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      }

const startGateway = async (setting: Setting, shift: Ms): Promise<void> => {
  const rgw = startPart(setting, 'rgw', {
    args: ['radosgw', '-n', 'client.rgw'],
    env: shifted(shift),
  })
  await ready(setting, rgw, async () => {
    const response = await fetch(`http://127.0.0.1:${setting.ports.s3}/`)
    await response.arrayBuffer()
    return response.ok
  })
}

const freshKeys = (): CephKeys => ({
  accessKeyId: randomBytes(10).toString('hex').toUpperCase(),
  secretAccessKey: randomBytes(30).toString('base64'),
})

const addUser = async (setting: Setting, keys: CephKeys): Promise<void> => {
  const secret = ['--access-key', keys.accessKeyId, '--secret-key', keys.secretAccessKey]
  const user = ['--uid=holdfast', '--display-name=holdfast']
  await tool(setting, 'radosgw-admin', ['user', 'create', ...user, ...secret])
}

const residentOf = (child: ChildProcess): number => {
  const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}

const stopAll = async (setting: Setting): Promise<void> => {
  for (const part of [...setting.parts].reverse()) await stopPart(setting, part)
  rmSync(setting.places.root, { recursive: true, force: true })
}

/** `folder`: where it makes its own, with a short name, as sockets lie in it. */
export const startCeph = async (folder: string): Promise<Ceph> => {
  const root = mkdtempSync(join(folder, 'ceph-'))
  const ports = { mon: await freePort(), s3: await freePort() }
  const setting: Setting = { places: cephPlaces(root), ports, parts: [] }
  const keys = freshKeys()
  try {
    await makeCluster(setting)
    await startStorage(setting)
    await startGateway(setting, 0)
    await addUser(setting, keys)
  } catch (error) {
    await stopAll(setting)
    throw error
  }
  return {
    port: ports.s3,
    endpoint: `http://127.0.0.1:${ports.s3}`,
    keys,
    version: (await tool(setting, 'radosgw', ['--version'])).trim(),
    usage: async () => {
      const memory = setting.parts.map(({ name, child }) => [name, residentOf(child)] as const)
      const { stdout } = await run('du', ['-s', '--block-size=1', root])
      return { ...Object.fromEntries(memory), disk: Number.parseInt(stdout, 10) }
    },
    restartGateway: async (shift) => {
      const rgw = setting.parts.find(({ name }) => name === 'rgw')
      if (rgw !== undefined) await stopPart(setting, rgw)
      await startGateway(setting, shift)
    },
    close: async () => stopAll(setting),
  }
}
