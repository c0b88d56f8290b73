import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { type Postgres, startPostgres } from '#server/io/embedded/postgres/start.ts'
import { MiB } from '#shared/units.ts'
import { agentBeside } from '../support/agent-beside.ts'
import { type AgentPlaces, searchAgent, searchRecorded } from '../support/agent-search.ts'
import { type Hit, searchFor } from '../support/byte-search.ts'
import { agentSecrets, controlPlaneSecrets } from '../support/canaries.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { memoryLog } from '../support/log.ts'
import { type Needle, needlesOfKey, needlesOfText } from '../support/needles.ts'
import { restoreOf, startRestore } from '../support/instance-restores.ts'
import { canSearchProcesses, searchProcess } from '../support/process-search.ts'
import { type Recorder, startRecorder } from '../support/recorder.ts'
import { sameTree } from '../support/same-tree.ts'
import { eventually } from '../support/wait.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-canaries-'))
const masterKey = randomBytes(32).toString('base64url')
const needs = canSearchProcesses ? '' : ' (needs /proc)'
const sources = { own: join(folder, 'own'), remote: join(folder, 'remote') }
const remoteHome = join(folder, 'home')

const MOST_TRIES = 4
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
    embedded.pid = await agentBeside(instance.data)
    // `up` answers before it has made the job of its own server.
    embedded.jobId = await eventually('the job of up', async () => {
      const jobs = (await instance.call('GET', '/v1/jobs'))['data'] as { id: string }[]
      return jobs.map(({ id }) => id).find((id) => id !== remote.jobId)
    })
    // A backup that a test starts must not meet the one that `up` is about to start.
    await eventually('the backup of up', async () => {
      const all = (await instance.call('GET', '/v1/backups'))['data'] as { job_id: string }[]
      return all.some(({ job_id }) => job_id === embedded.jobId)
    })
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

  /** Looks again and again until what `status` tells of is over. */
  const lookUntilOver = async (
    status: () => Promise<string>,
    look: () => void,
  ): Promise<{ readonly status: string; readonly looks: number }> => {
    const now = { status: await status(), looks: 0 }
    while (['pending', 'running'].includes(now.status)) {
      if (now.status !== 'running' || now.looks === MOST_LOOKS) await sleep(20)
      else {
        look()
        // The agent stood still meanwhile: this look was in the middle of its work.
        if ((await status()) === 'running') now.looks += 1
        await sleep(200)
      }
      now.status = await status()
    }
    return now
  }

  /** The backup that runs, or else a new one that has everything to send. */
  const runOf = async (jobId: string, source: string): Promise<string> => {
    const open = await openRun(jobId)
    if (open !== undefined) return open
    fill(source)
    return String(dataOf(await instance.call('POST', `/v1/jobs/${jobId}/backups`, {}))['id'])
  }

  /** Backs up and looks meanwhile; again where a run was over before it could be looked at. */
  const lookAtBackup = async (
    jobId: string,
    source: string,
    look: () => void,
  ): ReturnType<typeof lookUntilOver> => {
    for (let tries = 1; ; tries += 1) {
      const run = await runOf(jobId, source)
      const seen = await lookUntilOver(async () => statusOf(run), look)
      if (seen.looks > 0 || tries === MOST_TRIES) return seen
    }
  }

  /** One look at an agent: it finds what the agent holds, its own signing seed, and none of `needles`. */
  const lookerAt = (agent: AgentPlaces & { readonly state: string }): (() => void) => {
    const { signing } = agentSecrets(agent.state, [])
    const search = searchFor([...needles, ...needlesOfKey(PLANTED, signing)])
    return () => {
      const { hits, memory } = searchAgent(search, agent)
      expect(others(hits)).toEqual([])
      const places = [...placesOf(hits, PLANTED)]
      expect(places).toContain(join(agent.state, 'agent.json'))
      expect(places.filter((where) => where.startsWith('memory'))).not.toEqual([])
      // A Node process alone has more than this.
      expect(memory).toBeGreaterThan(50 * MiB)
    }
  }

  const besideIt = (): AgentPlaces & { readonly state: string } => ({
    ...embedded,
    folders: [embedded.state],
  })
  const elsewhere = (): AgentPlaces & { readonly state: string } => ({
    pid: remote.agent.pid!,
    state: remote.state,
    folders: [remote.state, remoteHome],
  })

  const PLACES = 'environment, arguments, files, memory'
  for (const [name, agentOf, jobOf, source] of [
    ['beside it', besideIt, () => embedded.jobId, sources.own],
    ['of another server', elsewhere, () => remote.jobId, sources.remote],
  ] as const)
    test(`are not known to the agent ${name}, while it backs up and after: ${PLACES}`, async () => {
      const look = lookerAt(agentOf())
      const { status, looks } = await lookAtBackup(jobOf(), source, look)
      expect([status, looks > 0]).toEqual(['completed', true])
      look()
    })

  test(`are not known to an agent that restores, while it does and after: ${PLACES}`, async () => {
    const backup = await runOf(remote.jobId, sources.remote)
    expect(
      (
        await lookUntilOver(
          async () => statusOf(backup),
          () => undefined,
        )
      ).status,
    ).toBe('completed')
    const target = join(folder, 'restored')
    const wish = { backup, server: remote.serverId, target }
    const { id } = await startRestore(instance, wish)
    const look = lookerAt(elsewhere())
    const restoring = async (): Promise<string> => (await restoreOf(instance, id)).status
    const { status, looks } = await lookUntilOver(restoring, look)
    expect([status, looks > 0]).toEqual(['completed', true])
    look()
    expect(sameTree(sources.remote, join(target, sources.remote))).toEqual([])
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
      expect.arrayContaining(['enroll', 'connect', 'grants.given', 'commit.done', 'restore.start']),
    )
  })

  test('are found where they are: in the control plane itself', () => {
    const { hits } = searchProcess(searchFor(needles), instance.controlPlane.pid!)
    const found = new Set(hits.map(({ secret }) => secret))
    for (const secret of ['master key', 'secret access key of local', 'token of the data folder'])
      expect([...found]).toContain(secret)
  })
})
