import { appendFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { type Plane, startPlane } from '../support/agent-plane.ts'
import { type Machine, newMachine, type Program } from '../support/agent-program.ts'
import { eventually } from '../support/wait.ts'

let plane: Plane
let machines: Machine[] = []
let programs: Program[] = []
beforeAll(async () => {
  plane = await startPlane()
})
afterEach(async () => {
  for (const program of programs) program.child.kill('SIGKILL')
  await Promise.all(programs.map(async (program) => program.ended))
  for (const machine of machines) machine.dispose()
  programs = []
  machines = []
})
afterAll(async () => plane.close())

const newOne = async (): Promise<Machine> => {
  const machine = await newMachine(plane)
  mkdirSync(machine.source, { recursive: true })
  machines.push(machine)
  return machine
}
const run = (machine: Machine): Program => {
  const program = machine.run()
  programs.push(program)
  return program
}
const fileIn = async (
  machine: Machine,
  backup: Awaited<ReturnType<Machine['backup']>>,
  name: string,
): Promise<Buffer | undefined> =>
  (await machine.read(backup)).entries.get(join(machine.source, name))?.content

/** Waits until the backup has put its first pack. */
const aPack = async (machine: Machine, before: readonly string[]): Promise<void> => {
  await eventually('a pack in the store', async () =>
    (await machine.keys()).some((key) => key.includes('/packs/') && !before.includes(key)),
  )
}

describe('the agent as a program', () => {
  test('enrols, backs up, and backs up only what changed', async () => {
    const machine = await newOne()
    writeFileSync(join(machine.source, 'a.txt'), 'hello')
    writeFileSync(join(machine.source, 'b'), randomBytes(6 * MiB))
    expect(await machine.enroll()).toMatchObject({ code: 0 })
    expect(statSync(join(machine.state, 'agent.json')).mode & 0o777).toBe(0o600)
    run(machine)
    const first = await machine.backup()
    expect(await machine.over(first)).toMatchObject({ status: 'completed', error: null })
    expect((await fileIn(machine, first, 'a.txt'))?.toString()).toBe('hello')
    appendFileSync(join(machine.source, 'a.txt'), ' again')
    const second = await machine.backup()
    expect(await machine.over(second)).toMatchObject({ status: 'completed' })
    const read = await machine.read(second)
    expect(read.entries.get(join(machine.source, 'a.txt'))?.content.toString()).toBe('hello again')
    expect(read.record.bytes.new).toBe(11)
    expect(read.record.sequence).toBe(2)
  })

  test('killed in the middle leaves nothing behind that hinders the next backup', async () => {
    const machine = await newOne()
    for (let i = 0; i < 12; i += 1)
      writeFileSync(join(machine.source, `file ${i}`), randomBytes(8 * MiB))
    await machine.enroll()
    const victim = run(machine)
    const before = await machine.keys()
    const first = await machine.backup()
    await aPack(machine, before)
    victim.child.kill('SIGKILL')
    await victim.ended
    run(machine)
    expect(await machine.over(first)).toMatchObject({ status: 'failed' })
    const second = await machine.backup()
    expect(await machine.over(second)).toMatchObject({ status: 'completed' })
    const content = await fileIn(machine, second, 'file 7')
    expect(content?.equals(readFileSync(join(machine.source, 'file 7')))).toBe(true)
  })

  test('told to stop says how its backup ended, and ends with 0', async () => {
    const machine = await newOne()
    for (let i = 0; i < 12; i += 1)
      writeFileSync(join(machine.source, `file ${i}`), randomBytes(8 * MiB))
    await machine.enroll()
    const program = run(machine)
    const before = await machine.keys()
    const backup = await machine.backup()
    await aPack(machine, before)
    program.child.kill('SIGTERM')
    expect((await program.ended).code).toBe(0)
    const row = await machine.over(backup)
    expect(row.status).toBe('failed')
    expect(JSON.stringify(row.error)).toContain('AGENT_STOPPED')
  })

  test('refuses readers that nobody confirmed', async () => {
    const machine = await newOne()
    writeFileSync(join(machine.source, 'a.txt'), 'hello')
    const refused = await machine.enroll('00'.repeat(32))
    expect(refused.code).toBe(4)
    expect(refused.err).toContain('RECIPIENTS_NOT_PINNED')
    run(machine)
    const backup = await machine.backup()
    const row = await machine.over(backup)
    expect(row.status).toBe('failed')
    expect(JSON.stringify(row.error)).toContain('RECIPIENTS_NOT_PINNED')
  })

  test('does not run twice on one state folder', async () => {
    const machine = await newOne()
    await machine.enroll()
    run(machine)
    await eventually('the first agent', async () =>
      /^agent +running/m.test((await machine.status()).out),
    )
    const second = run(machine)
    expect(await second.ended).toMatchObject({ code: 1 })
  })
})
