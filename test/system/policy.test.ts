/** The local policy of a real agent, which the control plane can neither read nor widen. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startProgram } from '../support/agent-program.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { endOfRestore, startRestore } from '../support/instance-restores.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-policy-'))
const allowed = join(folder, 'allowed')
const beyond = join(folder, 'beyond')
const target = join(folder, 'target')

let instance: Instance
let guarded: Protected
let backup: string

type Data = Record<string, unknown>
const dataOf = (answer: Data): Data => answer['data'] as Data

beforeAll(async () => {
  for (const at of [allowed, beyond]) {
    mkdirSync(at)
    writeFileSync(join(at, 'a.txt'), 'hello')
  }
  instance = await startInstance(folder)
  guarded = await instance.protect('guarded', [allowed], {
    allow: { sources: [allowed], restores: [target] },
  })
  const done = await instance.backup(guarded.jobId)
  expect(done['status']).toBe('completed')
  backup = String(done['id'])
})
afterAll(async () => {
  await instance.close()
  rmSync(folder, { recursive: true, force: true })
})

let jobs = 0
/** Another job of that server. */
const jobOf = async (paths: readonly string[]): Promise<string> => {
  const job = dataOf(await instance.call('GET', `/v1/jobs/${guarded.jobId}`))
  jobs += 1
  const made = await instance.call('POST', '/v1/jobs', {
    name: `job ${jobs}`,
    server_id: guarded.serverId,
    storage_id: job['storage_id'],
    encryption_key_id: job['encryption_key_id'],
    sources: [{ type: 'files', paths }],
  })
  return String(dataOf(made)['id'])
}

describe('an agent', () => {
  test('does not start without a policy, or with one that others could have written', async () => {
    const run = async (policy: string): Promise<{ code: number | null; err: string }> =>
      startProgram(['run', '--state', join(folder, 'nowhere'), '--policy', policy]).ended
    const without = await run(join(folder, 'no-policy.json'))
    expect(without).toMatchObject({ code: 4 })
    expect(without.err).toContain('POLICY_UNUSABLE')
    const open = join(folder, 'open.json')
    writeFileSync(open, '{"version": 1, "sources": ["/"], "restores": ["/"]}')
    chmodSync(open, 0o666)
    const writable = await run(open)
    expect(writable).toMatchObject({ code: 4 })
    expect(writable.err).toContain('can be written by others')
  })

  test.each([
    ['a folder beside what it may', [beyond]],
    ['one of two that it may not', [allowed, beyond]],
    ['a folder above what it may', [folder]],
  ])('does not back up %s, and the API says so', async (_, paths) => {
    const job = await jobOf(paths)
    const started = await instance.backup(job)
    const seen = dataOf(await instance.call('GET', `/v1/backups/${String(started['id'])}`))
    expect(seen).toMatchObject({ status: 'failed', error: { code: 'POLICY_REFUSED' } })
    const { message } = seen['error'] as { message: string }
    expect(message).toContain(guarded.policy)
    expect(message).toContain(paths.at(-1))
  })

  test('does not restore beside where it may, and nothing is there', async () => {
    const wish = { backup, server: guarded.serverId, target: beyond }
    const end = await endOfRestore(instance, (await startRestore(instance, wish)).id)
    expect(end).toMatchObject({ status: 'failed', error: { code: 'POLICY_REFUSED' } })
    expect(end.error?.message).toContain(`does not name ${beyond} in "restores"`)
    expect(existsSync(join(beyond, allowed))).toBe(false)
    const good = await startRestore(instance, { ...wish, target: join(target, 'here') })
    expect(await endOfRestore(instance, good.id)).toMatchObject({ status: 'completed' })
  })

  test('takes the policy as it is when the order comes', async () => {
    const job = await jobOf([beyond])
    expect(await instance.backup(job)).toMatchObject({ status: 'failed' })
    writeFileSync(
      guarded.policy,
      JSON.stringify({ version: 1, sources: [allowed, beyond], restores: [] }),
    )
    expect(await instance.backup(job)).toMatchObject({ status: 'completed' })
    const wish = { backup, server: guarded.serverId, target }
    const end = await endOfRestore(instance, (await startRestore(instance, wish)).id)
    expect(end).toMatchObject({ status: 'failed', error: { code: 'POLICY_REFUSED' } })
    rmSync(guarded.policy)
    expect(await instance.backup(job)).toMatchObject({ error: { code: 'POLICY_UNUSABLE' } })
  })
})
