import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Backup } from '#shared/api/backups.ts'
import { MiB } from '#shared/units.ts'
import { holdfast, type Spoken } from '../support/holdfast.ts'
import { ended, type Instance, type Protected, startInstance } from '../support/instance.ts'
import { seeded } from '../support/seeded.ts'
import { eventually } from '../support/wait.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-pause-'))
const source = join(folder, 'source')
const large = join(source, 'large')
let instance: Instance
let web: Protected
let run: (args: readonly string[]) => Promise<Spoken>

/** Bytes a second, or null: as fast as it goes. */
const limit = async (upload_limit: string | null): Promise<void> => {
  const answer = await fetch(`${instance.url}/v1/servers/${web.serverId}/settings`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${instance.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ upload_limit }),
  })
  expect(answer.status).toBe(200)
}

/** An agent hears of its limits as soon as it is connected. */
const startAgain = async (): Promise<void> => {
  web.agent.kill('SIGKILL')
  await ended(web.agent)
  web.startAgent()
}

const shown = async (id: string): Promise<Backup> =>
  (await instance.call('GET', `/v1/backups/${id}`))['data'] as Backup

const isAccepted = async (id: string): Promise<boolean> => {
  const { data } = await instance.call('GET', `/v1/backups/${id}/logs`)
  const lines = data as { readonly message: string }[]
  return lines.some(({ message }) => message === 'The agent works on it.')
}

beforeAll(async () => {
  mkdirSync(source)
  writeFileSync(large, seeded('pause').bytes(24 * MiB))
  instance = await startInstance(folder)
  web = await instance.protect('web1', [source])
  run = holdfast({ url: instance.url, token: instance.token, cwd: folder })
  await limit('512KiB')
  await startAgain()
})

afterAll(async () => {
  await instance.close()
  rmSync(folder, { recursive: true, force: true })
})

test('a paused backup outlives its agent and its control plane, and goes on when it is resumed', async () => {
  const started = await instance.call('POST', `/v1/jobs/${web.jobId}/backups`, {})
  const { id } = started['data'] as Backup
  await eventually('work on it', async () => isAccepted(id))
  const said = await run(['pause', 'web1'])
  expect([said.code, said.out]).toEqual([0, expect.stringContaining('is paused since')])
  await instance.end('SIGKILL')
  await instance.start()
  await startAgain()
  const { paused_at } = await shown(id)
  expect(paused_at).not.toBeNull()
  await eventually('the agent is back', async () => {
    const { data } = await instance.call('GET', `/v1/servers/${web.serverId}`)
    return (data as { status: string }).status === 'online'
  })
  await limit(null)
  await startAgain()
  expect(await shown(id)).toMatchObject({ status: 'running', paused_at, completed_at: null })
  expect(await run(['resume', 'web1'])).toMatchObject({ code: 0 })
  const over = await eventually('its end', async () => {
    const now = await shown(id)
    return now.completed_at !== null && now
  })
  expect(over).toMatchObject({ status: 'completed', paused_at: null, attempt: 1 })
  const to = join(folder, 'back')
  expect(await run(['get', 'web1', large, '--to', to])).toMatchObject({ code: 0 })
  expect(readFileSync(join(to, large)).equals(readFileSync(large))).toBe(true)
  expect(await run(['pause', 'web1'])).not.toMatchObject({ code: 0 })
})
