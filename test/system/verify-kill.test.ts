import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Verification } from '#shared/api/verifications.ts'
import { MiB } from '#shared/units.ts'
import { type Instance, startInstance } from '../support/instance.ts'
import { seeded } from '../support/seeded.ts'
import { eventually } from '../support/wait.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-verify-kill-'))
const source = join(folder, 'source')
const SIZE = 96 * MiB
const PART = 24 * MiB
/** The claim of the dead one lasts for 30 s. */
const DEADLINE = 180_000
let instance: Instance
let backup: string

beforeAll(async () => {
  mkdirSync(source)
  writeFileSync(join(source, 'large'), seeded('verify kill').bytes(SIZE))
  // 12 MiB a second: slow enough to be caught in the middle.
  instance = await startInstance(folder, { env: { HOLDFAST_VERIFY_RATE: '12' } })
  const { jobId } = await instance.protect('web1', [source])
  backup = String((await instance.backup(jobId))['id'])
})

afterAll(async () => {
  await instance.close()
  rmSync(folder, { recursive: true, force: true })
})

const shown = async (id: string): Promise<Verification> => {
  const { data } = await instance.call('GET', `/v1/verifications/${id}`)
  return data as Verification
}

/** A verification whose control plane was killed in the middle of it; one that was faster than the signal is none. */
const interrupted = async (): Promise<string> =>
  eventually(
    'a verification that is killed',
    async () => {
      const path = `/v1/backups/${backup}/verify`
      const begun = (await instance.call('POST', path, { level: 'restore' }))[
        'data'
      ] as Verification
      await eventually('work on it', async () => (await shown(begun.id)).status !== 'pending')
      await instance.end('SIGKILL')
      await instance.start()
      return (await shown(begun.id)).status === 'running' && begun.id
    },
    DEADLINE,
  )

test('a verification whose control plane was killed is taken up by the next one, and ends well', async () => {
  const id = await interrupted()
  const end = async (): Promise<Verification | null> => {
    const now = await shown(id)
    return now.completed_at === null ? null : now
  }
  const ended = await eventually('its end', end, DEADLINE)
  expect(ended.error).toBeNull()
  expect(ended.result).toMatchObject({ status: 'passed', bytes: SIZE, problem_count: 0 })
  const { data } = await instance.call('GET', `/v1/backups/${backup}`)
  expect(data).toMatchObject({ last_verified: { restore: { verification_id: id } } })
})

test('one of all objects goes on where it was, not from the beginning', async () => {
  const path = `/v1/backups/${backup}/verify`
  const begun = (await instance.call('POST', path, { level: 'full' }))['data'] as Verification
  // Noted with the claim every two seconds.
  const noted = await eventually(
    'a good part of it',
    async () => {
      const { bytes_done: done } = (await shown(begun.id)).progress
      return done > PART && done
    },
    DEADLINE,
  )
  await instance.end('SIGKILL')
  await instance.start()
  let least = Infinity
  const ended = await eventually(
    'its end',
    async () => {
      const now = await shown(begun.id)
      least = Math.min(least, now.progress.bytes_done)
      return now.completed_at === null ? null : now
    },
    DEADLINE,
  )
  expect(least).toBeGreaterThanOrEqual(noted)
  expect(ended.error).toBeNull()
  const { status, bytes } = ended.result!
  expect(status).toBe('passed')
  // Each object once: what was read before the kill is not read, and not counted, again.
  expect(bytes).toBeGreaterThan(SIZE)
  expect(bytes).toBeLessThan(SIZE * 1.05)
})
