import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { type Postgres, startPostgres } from '#server/io/embedded/postgres/start.ts'
import { MiB } from '#shared/units.ts'
import { type AgentPlaces, searchAgent, searchRecorded } from '../support/agent-search.ts'
import { type Hit, searchFor } from '../support/byte-search.ts'
import { agentSecrets, controlPlaneSecrets } from '../support/canaries.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { memoryLog } from '../support/log.ts'
import { type Needle, needlesOfKey, needlesOfText } from '../support/needles.ts'
import { canSearchProcesses, searchProcess } from '../support/process-search.ts'
import { type Recorder, startRecorder } from '../support/recorder.ts'
import { eventually } from '../support/wait.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-canaries-'))
const masterKey = randomBytes(32).toString('base64url')
const needs = canSearchProcesses ? '' : ' (needs /proc)'
const sources = { own: join(folder, 'own'), remote: join(folder, 'remote') }
const remoteHome = join(folder, 'home')

const MOST_LOOKS = 3

/** A needle that must be found: without it a search that looks nowhere would find nothing too. */
const PLANTED = 'planted'

const fill = (source: string): void => {
  mkdirSync(source, { recursive: true })
  for (let n = 0; n < 12; n += 1) writeFileSync(join(source, `f${n}`), randomBytes(6 * MiB))
}

const readdirVaults = (state: string): string[] => readdirSync(join(state, 'vaults'))

const placesOf = (hits: readonly Hit[], secret: string): Set<string> =>
  new Set(hits.filter((hit) => hit.secret === secret).map(({ where }) => where))

const others = (hits: readonly Hit[]): Hit[] => hits.filter(({ secret }) => secret !== PLANTED)

type Data = Record<string, unknown>
const dataOf = (answer: Data): Data => answer['data'] as Data

describe.skipIf(!canSearchProcesses)(`the secrets of a control plane${needs}`, () => {
  let instance: Instance
  let postgres: Postgres
  let recorders: { readonly plane: Recorder; readonly storage: Recorder }
  let remote: Protected
  let needles: readonly Needle[]
  const credentials = { id: '', secret: '' }
  const embedded = { state: join(folder, 'data', 'agent'), pid: 0, jobId: '' }

  /** The same bucket a second time, behind a recorder. */
  const addRecordedStorage = async (): Promise<string> => {
    const added = await instance.call('POST', '/v1/storages', {
      name: 'recorded',
      provider: 'other',
      endpoint: recorders.storage.url,
      region: 'us-east-1',
      bucket: 'holdfast',
      prefix: 'recorded',
      access_key_id: credentials.id,
      secret_access_key: credentials.secret,
    })
    return String(dataOf(added)['id'])
  }

  const startRecorders = async (): Promise<void> => {
    const [own] = (await instance.call('GET', '/v1/storages'))['data'] as { endpoint: string }[]
    recorders = {
      plane: await startRecorder(instance.url),
      storage: await startRecorder(own!.endpoint),
    }
    const text = readFileSync(join(instance.data, 's3-credentials'), 'utf8')
    credentials.id = /access_key_id = (\S+)/.exec(text)?.[1] ?? ''
    credentials.secret = /secret_access_key = (\S+)/.exec(text)?.[1] ?? ''
  }

  beforeAll(async () => {
    Object.values(sources).forEach(fill)
    mkdirSync(remoteHome)
    instance = await startInstance(folder, {
      env: { HOLDFAST_MASTER_KEY: masterKey, HOLDFAST_PORT: '0', HOLDFAST_S3_PORT: '0' },
      paths: [sources.own],
    })
    postgres = await startPostgres(
      { folder: join(instance.data, 'postgres'), log: memoryLog(), clock: systemClock },
      new AbortController().signal,
    )
    await startRecorders()
    remote = await instance.protect('remote', [sources.remote], {
      storage: await addRecordedStorage(),
      url: recorders.plane.url,
      env: { HOME: remoteHome, TMPDIR: remoteHome },
    })
    const pidFile = join(instance.data, 'agent.pid')
    embedded.pid = await eventually(
      'the agent of up',
      () => existsSync(pidFile) && Number(readFileSync(pidFile, 'utf8')),
    )
    const jobs = (await instance.call('GET', '/v1/jobs'))['data'] as { id: string }[]
    embedded.jobId = jobs.map(({ id }) => id).find((id) => id !== remote.jobId) ?? ''
    needles = await controlPlaneSecrets({ instance, connect: postgres.connect, masterKey })
  })
  afterAll(async () => {
    await Promise.all([recorders.plane.close(), recorders.storage.close()])
    await instance.close()
    await postgres.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const statusOf = async (backup: string): Promise<string> =>
    String(dataOf(await instance.call('GET', `/v1/backups/${backup}`))['status'])

  const openRun = async (jobId: string): Promise<string | undefined> => {
    const all = (await instance.call('GET', '/v1/backups'))['data'] as Record<string, string>[]
    return all.find(
      (one) => one['job_id'] === jobId && ['pending', 'running'].includes(one['status']!),
    )?.['id']
  }

  /** Looks again and again from the first pack on until the backup is over; how often while it ran. */
  const searchWhile = async (
    jobId: string,
    look: () => void,
  ): Promise<{ readonly status: string; readonly looks: number }> => {
    const id =
      (await openRun(jobId)) ??
      String(dataOf(await instance.call('POST', `/v1/jobs/${jobId}/backups`, {}))['id'])
    const now = { status: await statusOf(id), looks: 0 }
    while (['pending', 'running'].includes(now.status)) {
      if (now.status !== 'running' || now.looks === MOST_LOOKS) {
        await sleep(20)
        now.status = await statusOf(id)
        continue
      }
      look()
      const after = await statusOf(id)
      // The agent stood still meanwhile: this look was in the middle of its work.
      if (after === 'running') now.looks += 1
      await sleep(200)
      now.status = await statusOf(id)
    }
    return now
  }

  const agents = (): (readonly [
    string,
    AgentPlaces & { readonly jobId: string; state: string },
  ])[] => [
    ['beside the control plane', { ...embedded, folders: [embedded.state] }],
    [
      'of another server',
      {
        pid: remote.agent.pid!,
        jobId: remote.jobId,
        state: remote.state,
        folders: [remote.state, remoteHome],
      },
    ],
  ]

  for (const at of [0, 1])
    test(`are not known to the agent ${at === 0 ? 'beside it' : 'of another server'}: environment, arguments, files, memory, while it backs up and after`, async () => {
      const [, agent] = agents()[at]!
      const { signing } = agentSecrets(agent.state, [])
      const search = searchFor([...needles, ...needlesOfKey(PLANTED, signing)])
      const look = (): void => {
        const { hits, memory } = searchAgent(search, agent)
        expect(others(hits)).toEqual([])
        const places = [...placesOf(hits, PLANTED)]
        expect(places).toContain(join(agent.state, 'agent.json'))
        expect(places.filter((where) => where.startsWith('memory'))).not.toEqual([])
        // A Node process alone has more than this.
        expect(memory).toBeGreaterThan(50 * MiB)
      }
      const { status, looks } = await searchWhile(agent.jobId, look)
      expect([status, looks > 0]).toEqual(['completed', true])
      look()
    })

  test('never pass between an agent and the control plane or the storage, nor do the agent’s own', () => {
    const [vault = ''] = readdirVaults(remote.state)
    const own = agentSecrets(remote.state, [vault])
    const search = searchFor([
      ...needles,
      ...needlesOfKey('signing seed', own.signing),
      ...needlesOfKey('box seed', own.box),
      ...needlesOfKey('vault secret', own.vaults.get(vault) ?? new Uint8Array(32)),
      ...needlesOfText(PLANTED, credentials.id),
    ])
    const { plane, storage } = recorders
    const hits = [...searchRecorded(search, plane), ...searchRecorded(search, storage)]
    expect(others(hits)).toEqual([])
    // The id of the access key is no secret: every signature names it, in grants and in requests.
    const places = [...placesOf(hits, PLANTED)]
    expect(places).toContain('a message of the server')
    expect(places.filter((where) => where.startsWith('PUT '))).not.toEqual([])
    const types = plane.messages.map(({ text }) => (JSON.parse(text) as { type: string }).type)
    expect(types).toEqual(
      expect.arrayContaining(['enroll', 'connect', 'grants.given', 'commit.done']),
    )
  })

  test('are found where they are: in the control plane itself', () => {
    const { hits } = searchProcess(searchFor(needles), instance.controlPlane.pid!)
    const found = new Set(hits.map(({ secret }) => secret))
    for (const secret of ['master key', 'secret access key of local', 'token of the data folder'])
      expect([...found]).toContain(secret)
  })
})
