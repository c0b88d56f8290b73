import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backup } from '#shared/api/backups.ts'
import { parseKit } from '#shared/format/recovery-kit.ts'
import { freePort } from '../support/free-port.ts'
import { sameTree } from '../support/same-tree.ts'
import { eventually } from '../support/wait.ts'

const program = fileURLToPath(new URL('../../server/main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'hf-first-'))
const data = join(folder, 'data')
const source = join(folder, 'source')
const kit = join(folder, 'kit.txt')

type Result = { readonly url: string; readonly pid: number; readonly backup: Backup | null }
type Ended = { readonly code: number | null; readonly out: string; readonly err: string }

const started: ChildProcess[] = []

const start = (args: readonly string[], env: Record<string, string>): ChildProcess => {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  started.push(child)
  return child
}

const ended = async (child: ChildProcess): Promise<Ended> => {
  let out = ''
  let err = ''
  child.stdout?.on('data', (text: Buffer) => {
    out += text.toString()
  })
  child.stderr?.on('data', (text: Buffer) => {
    err += text.toString()
  })
  return new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, out, err }))
  })
}

let ports: Record<string, string>

const run = async (...args: string[]): Promise<Ended> => ended(start(args, ports))

const up = async (
  ...args: string[]
): Promise<{ code: number | null; json: Result; err: string }> => {
  const { code, out, err } = await run('up', '--data', data, '--json', ...args)
  const lines = out.trimEnd().split('\n')
  expect([lines.length, err]).toEqual([1, err])
  return { code, json: JSON.parse(lines[0]!) as Result, err }
}

const makeTree = (): void => {
  for (let d = 0; d < 12; d += 1) {
    const at = join(source, `dir ${d}`, 'deeper')
    mkdirSync(at, { recursive: true })
    for (let n = 0; n < 25; n += 1)
      writeFileSync(join(at, `file-${n}.txt`), `${d}/${n}\n`.repeat(n * 40))
  }
  writeFileSync(join(source, 'large.bin'), randomBytes(9 * 1024 * 1024 + 17))
  writeFileSync(join(source, 'empty'), '')
  writeFileSync(join(source, 'sparse'), 'end')
  truncateSync(join(source, 'sparse'), 3 * 1024 * 1024)
  writeFileSync(join(source, 'name with ü and \n newline'), 'odd')
  writeFileSync(join(source, 'private'), 'p', { mode: 0o600 })
  chmodSync(join(source, 'dir 1'), 0o750)
  symlinkSync('dir 1/deeper', join(source, 'link'))
  symlinkSync('/nowhere', join(source, 'dangling'))
  lutimesSync(join(source, 'link'), 1_000_000, 1_234_567.25)
}

beforeAll(async () => {
  makeTree()
  ports = {
    HOLDFAST_PORT: String(await freePort()),
    HOLDFAST_S3_PORT: String(await freePort()),
  }
})

afterAll(() => {
  for (const child of started) if (child.exitCode === null) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

describe('the first backup', () => {
  let first: Backup

  test('one command starts everything, backs up, and ends with everything stopped', async () => {
    const { code, json, err } = await up('--exit', '--kit', kit, source)
    expect([code, err]).toEqual([0, err])
    first = json.backup!
    expect(first.status).toBe('completed')
    expect(first.counts).toMatchObject({ files: 12 * 25 + 5, unchanged: 0, errors: 0 })
    expect(first.bytes.new).toBeGreaterThan(9 * 1024 * 1024)
    expect(existsSync(join(data, 'control-plane.json'))).toBe(false)
    await expect(fetch(`${json.url}/healthz`)).rejects.toThrow()
  })

  test('the kit is a file of its own that only its owner reads, and it is made once', async () => {
    expect(statSync(kit).mode & 0o777).toBe(0o600)
    const made = parseKit(readFileSync(kit, 'utf8'))
    expect(made.storage?.bucket).toBe('holdfast')
    const again = await up('--exit', '--kit', join(folder, 'second-kit.txt'))
    expect(again.code).toBe(0)
    expect(existsSync(join(folder, 'second-kit.txt'))).toBe(false)
    expect(again.err).toContain('NOT CONFIRMED')
  })

  test('token, master key and agent state are readable by their owner only', () => {
    for (const name of ['token', 'master.key', join('agent', 'agent.json')])
      expect([name, statSync(join(data, name)).mode & 0o077]).toEqual([name, 0])
    expect(statSync(data).mode & 0o077).toBe(0)
  })

  test('a second backup reads and sends only what changed', async () => {
    writeFileSync(join(source, 'dir 3', 'deeper', 'file-7.txt'), 'changed')
    writeFileSync(join(source, 'dir 3', 'added'), 'new')
    const { code, json } = await up('--exit', source)
    expect(code).toBe(0)
    const second = json.backup!
    expect(second.job_id).toBe(first.job_id)
    expect(second.server_id).toBe(first.server_id)
    expect(second.sequence).toBe(2)
    expect(second.counts?.changed).toBeLessThan(20)
    expect(second.bytes.new).toBe('changed'.length + 'new'.length)
    expect(second.bytes.stored).toBeLessThan(first.bytes.stored / 4)
  })

  test('what is restored with the kit alone is what was backed up', async () => {
    const target = join(folder, 'restored')
    const bucket = join(data, 's3', 'holdfast')
    const { code, err } = await run('open', bucket, '--identity', kit, 'restore', target)
    expect([code, err]).toEqual([0, err])
    expect(sameTree(source, join(target, source))).toEqual([])
  })
})

describe('a control plane that runs', () => {
  test('is used by a second start, and stops in order when it is told to', async () => {
    const child = start(['up', '--data', data, source], ports)
    const end = ended(child)
    const place = join(data, 'control-plane.json')
    await eventually('the control plane says where it is', () => existsSync(place))
    const { pid, url } = JSON.parse(readFileSync(place, 'utf8')) as Result
    expect(pid).toBe(child.pid)
    const second = await up(source)
    expect(second.code).toBe(0)
    expect(second.json).toMatchObject({ url, pid })
    expect(second.json.backup?.status).toBe('completed')
    child.kill('SIGINT')
    const { code, out } = await end
    expect(out).toContain('Stopping')
    expect([0, 130]).toContain(code)
    expect(existsSync(place)).toBe(false)
    expect(processesOf(data)).toEqual([])
  })

  test('that was killed leaves a note that nobody believes, and the next start works', async () => {
    const child = start(['up', '--data', data, source], ports)
    const end = ended(child)
    const place = join(data, 'control-plane.json')
    await eventually('the control plane says where it is', () => existsSync(place))
    child.kill('SIGKILL')
    await end
    expect(existsSync(place)).toBe(true)
    const { code, json } = await up('--exit', source)
    expect(code).toBe(0)
    expect(json.backup?.status).toBe('completed')
    expect(processesOf(data)).toEqual([])
  })

  test('a port that was asked for and is taken is an error that says so', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', () => resolve()))
    const address = taken.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const child = start(['up', '--exit', '--data', data], {
      ...ports,
      HOLDFAST_PORT: String(port),
    })
    const { code, err } = await ended(child)
    taken.close()
    expect(code).toBe(1)
    expect(err).toContain(String(port))
    expect(err).not.toContain('at async')
    expect(processesOf(data)).toEqual([])
  })
})

test('paths that are not there: none of them is an error, and one of several is named in a partial backup', async () => {
  const none = await run('up', '--exit', '--data', join(folder, 'never'), join(folder, 'nothing'))
  expect(none.code).not.toBe(0)
  expect(none.err).toContain('does not exist')
  expect(existsSync(join(folder, 'never'))).toBe(false)
  const some = await up('--exit', source, join(folder, 'nothing'))
  expect(some.code).toBe(3)
  expect(some.json.backup?.status).toBe('partial')
  expect(some.json.backup?.errors).toMatchObject([
    { path: join(folder, 'nothing'), code: 'SOURCE_UNREADABLE', problem: 'it does not exist' },
  ])
  expect(some.err).toContain(`Not there: ${join(folder, 'nothing')}`)
  expect(some.err).toMatch(/does not exist/)
})

/** Command lines of the processes that still work on this data folder. */
const processesOf = (path: string): string[] => {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
    .filter((command) => command.includes(path))
}
