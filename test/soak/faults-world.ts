/** A Holdfast of real processes whose storage and whose agents' connections lead through fault proxies. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createFaultPlan } from '../support/fault-plan.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import type { Seeded } from '../support/seeded.ts'
import { makeSource, type Source } from './kill-source.ts'

/** A server with its files. */
export type Guarded = { readonly agent: Protected; readonly source: Source }

export type FaultsWorld = {
  readonly instance: Instance
  /** In front of the storage, for agents and control plane. */
  readonly store: FaultProxy
  /** In front of the control plane, for agents. */
  readonly line: FaultProxy
  /** Its agent has the usual patience. */
  readonly patient: Guarded
  /** Its agent gives up within `HASTE`. */
  readonly hasty: Guarded
  /** The folder of the bucket. */
  readonly bucket: string
  close(): Promise<void>
}

/** Seconds that the hasty agent has for a storage that is away. */
export const HASTE = 8
/** Seconds without movement before an upload is given up: short, so that a hang does not take all of the time. */
const IDLE = 2
const LONGEST_PAUSE = 1500

type Data = Record<string, unknown>
const dataOf = (answer: Data): Data => answer['data'] as Data

/** The keys of the embedded store, as stock clients find them. */
const keysIn = (data: string): { access_key_id: string; secret_access_key: string } => {
  const text = readFileSync(join(data, 's3-credentials'), 'utf8')
  const of = (name: string): string => new RegExp(`${name} = (\\S+)`).exec(text)?.[1] ?? ''
  return {
    access_key_id: of('aws_access_key_id'),
    secret_access_key: of('aws_secret_access_key'),
  }
}

const embedded = async (instance: Instance): Promise<Data> => {
  const [storage] = (await instance.call('GET', '/v1/storages'))['data'] as Data[]
  if (storage === undefined) throw new Error('the first start makes a storage')
  return storage
}

/** `large`: how many large files each server has; some 40 MiB if left out. */
export const startFaultsWorld = async (
  folder: string,
  chance: Seeded,
  large?: number,
): Promise<FaultsWorld> => {
  await using owned = new AsyncDisposableStack()
  const instance = await startInstance(folder)
  owned.defer(async () => instance.close())
  const { endpoint, region, bucket } = await embedded(instance)
  const proxy = async (to: string, name: string): Promise<FaultProxy> => {
    const plan = createFaultPlan(chance.fork(name), [], { longestPause: LONGEST_PAUSE })
    const started = await startFaultProxy(to, plan)
    owned.defer(async () => started.close())
    return started
  }
  const store = await proxy(String(endpoint), 'store')
  const line = await proxy(instance.url, 'line')
  const storage = dataOf(
    await instance.call('POST', '/v1/storages', {
      name: 'through the proxy',
      provider: 'other',
      endpoint: store.url,
      region,
      bucket,
      path_style: true,
      ...keysIn(instance.data),
    }),
  )
  const guard = async (name: string, env: Record<string, string>): Promise<Guarded> => {
    const source = makeSource(join(folder, `source ${name}`), chance.fork(name), large)
    const agent = await instance.protect(name, [source.folder], {
      storage: String(storage['id']),
      url: line.url,
      env: { HOLDFAST_UPLOAD_IDLE: String(IDLE), ...env },
    })
    return { agent, source }
  }
  const patient = await guard('patient', {})
  const hasty = await guard('hasty', { HOLDFAST_PATIENCE: String(HASTE) })
  const held = owned.move()
  return {
    instance,
    store,
    line,
    patient,
    hasty,
    bucket: join(instance.data, 's3', String(bucket)),
    close: async () => held.disposeAsync(),
  }
}
