/** `holdfast-agent status` beside a real agent: while it works, after it was killed, and without a control plane. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { createFaultPlan } from '../support/fault-plan.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { seeded } from '../support/seeded.ts'
import { type Plane, startPlane } from '../support/agent-plane.ts'
import { type Ended, type Machine, newMachine, type Program } from '../support/agent-program.ts'
import { eventually } from '../support/wait.ts'

let plane: Plane
let machine: Machine
let programs: Program[] = []
let store: FaultProxy
const plan = createFaultPlan(seeded('status'))
beforeAll(async () => {
  plane = await startPlane()
  store = await startFaultProxy(plane.s3.endpoint, plan)
  await plane.database.db.updateTable('storages').set({ endpoint: store.url }).execute()
})
afterEach(async () => {
  for (const program of programs) program.child.kill('SIGKILL')
  await Promise.all(programs.map(async (program) => program.ended))
  programs = []
  plan.set([])
  store.cut()
  machine.dispose()
})
afterAll(async () => {
  await store.close()
  await plane.close()
})

type Said = {
  readonly agent: string
  readonly connected: boolean
  readonly connection_problem?: string | null
  readonly pid?: number
  readonly server: { readonly id: string; readonly name: string | null }
  readonly policy: { readonly sources?: string[]; readonly unusable?: string }
  readonly versions: Readonly<Record<string, unknown>>
  readonly runs: readonly {
    readonly run: string
    readonly kind: string
    readonly phase: string
    readonly bytes: number
  }[]
  readonly jobs: readonly {
    readonly job: string
    readonly name: string
    readonly running: { readonly backup: string } | null
    readonly last: {
      readonly backup: string
      readonly status: string
      readonly at: string
      readonly error: { readonly code: string } | null
    } | null
  }[]
}

const parsed = ({ out }: Ended): Said => JSON.parse(out) as Said
const said = async (): Promise<Said> => parsed(await machine.status(['--json']))

const enrolled = async (): Promise<void> => {
  machine = await newMachine(plane)
  mkdirSync(machine.source, { recursive: true })
  writeFileSync(join(machine.source, 'a.txt'), 'hello')
  await machine.enroll()
}
const run = (): Program => {
  const program = machine.run()
  programs.push(program)
  return program
}
const connected = async (): Promise<Ended> =>
  eventually('the connection', async () => {
    const status = await machine.status()
    return status.code === 0 ? status : null
  })
/** In lines of a terminal. */
const fits = ({ out }: Ended): void => {
  for (const line of out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
}

test('says nothing of an agent that is not enrolled, and makes no folder for it', async () => {
  machine = await newMachine(plane)
  const status = await machine.status()
  expect(status).toMatchObject({ code: 2, out: '' })
  expect(status.err).toContain('NOT_ENROLLED')
  expect(() => statSync(machine.state)).toThrow('ENOENT')
})

test('shows who the agent is, that it is connected, and how its last backup ended, in the zone of whoever asks', async () => {
  await enrolled()
  const before = await machine.status()
  expect(before.code).toBe(5)
  expect(before.out).toMatch(/^agent +not running$/m)
  fits(before)
  const program = run()
  await connected()
  expect(statSync(join(machine.state, 'status.sock')).mode & 0o777).toBe(0o600)
  const backup = await machine.backup()
  await machine.over(backup)
  const json = await eventually('the outcome', async () => {
    const now = await said()
    return now.jobs[0]?.last !== null && now.jobs.length === 1 && now.runs.length === 0 ? now : null
  })
  expect(json).toMatchObject({
    agent: 'running',
    pid: program.child.pid,
    connected: true,
    server: { id: machine.server },
    policy: { sources: ['/'] },
    versions: { protocol: { current: 1, oldest: 1 }, agreed_protocol: 1, format: 1 },
    jobs: [{ job: machine.job, running: null, last: { backup, status: 'completed', error: null } }],
  })
  const [east, west] = await Promise.all(
    ['Etc/GMT-9', 'Etc/GMT+9'].map(async (TZ) => machine.status([], { TZ })),
  )
  const text = await machine.status()
  expect(text.out).toContain(machine.server)
  expect(text.out).toContain(json.server.name ?? 'no name')
  expect(text.out).toContain(`pid ${String(program.child.pid)}`)
  expect(text.out).toContain('may be backed up: /')
  expect(text.out).toMatch(/protocol 1; format 1/)
  expect(text.out).toMatch(new RegExp(`completed +\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d +${backup}`))
  fits(text)
  const at = Date.parse(json.jobs[0]?.last?.at ?? '')
  const hourIn = (offset: number): string =>
    new Date(at + offset * 3_600_000).toISOString().slice(0, 16).replace('T', ' ')
  expect(east?.out).toContain(hourIn(9))
  expect(west?.out).toContain(hourIn(-9))
})

test('of an agent that was killed in a backup says that it does not run, and that the backup was cut off', async () => {
  await enrolled()
  writeFileSync(join(machine.source, 'b'), randomBytes(6 * MiB))
  // No upload ever ends: the backup is in its middle for as long as is needed.
  plan.set([{ fault: 'hang', share: 1, methods: ['PUT'], path: /packs/ }])
  const victim = run()
  const backup = await machine.backup()
  const working = await eventually('a run that moves', async () => {
    const now = await said()
    return (now.runs[0]?.bytes ?? 0) > 6 * MiB ? now : null
  })
  expect(working).toMatchObject({
    connected: true,
    runs: [{ run: backup, kind: 'backup' }],
    jobs: [{ job: machine.job, running: { backup }, last: null }],
  })
  const shown = await machine.status()
  expect(shown.out).toMatch(new RegExp(`^${backup} +backup +\\w+ +\\d+ +[\\d.]+ \\w+$`, 'm'))
  fits(shown)
  victim.child.kill('SIGKILL')
  await victim.ended
  const dead = await machine.status(['--json'])
  expect(dead.code).toBe(5)
  expect(parsed(dead)).toMatchObject({
    agent: 'absent',
    connected: false,
    runs: [],
    jobs: [{ running: null, last: { backup, status: 'cut off' } }],
  })
  expect((await machine.status()).out).toMatch(/^agent +not running$/m)
  run()
  await connected()
  expect(await said()).toMatchObject({ runs: [], jobs: [{ last: { status: 'cut off' } }] })
})

test('of an agent that cannot reach its control plane says why, and needs none itself', async () => {
  machine = await newMachine(plane)
  mkdirSync(machine.source, { recursive: true })
  await machine.enroll()
  const agent = join(machine.state, 'agent.json')
  const identity = JSON.parse(readFileSync(agent, 'utf8')) as object
  // Port 9 discards, where anybody listens at all.
  writeFileSync(agent, JSON.stringify({ ...identity, url: 'ws://127.0.0.1:9/v1/agent/connect' }))
  run()
  const away = await eventually('an agent without a connection', async () => {
    const status = await machine.status(['--json'])
    const { connection_problem: problem } = parsed(status)
    return status.code === 6 && problem !== undefined && problem !== null ? status : null
  })
  expect(parsed(away)).toMatchObject({ agent: 'running', connected: false })
  expect(parsed(away).connection_problem).toContain('ECONNREFUSED')
  const text = await machine.status()
  expect(text.out).toContain('NOT connected since')
  expect(text.out).toContain('ECONNREFUSED')
})
