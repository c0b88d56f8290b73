/** What a storage can do, found out by doing it. */
import { createHash } from 'node:crypto'
import type { StorageCapabilities, StorageStep } from '#shared/api/storages.ts'
import { downloadKey } from '#shared/format/layout.ts'
import { formatSpan, MINUTE, type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Random } from '#shared/world.ts'
import type { SignedPut } from '../../ports.ts'
import type { StorageTrial } from '../../ports/storage-tests.ts'
import { explain } from './advice.ts'
import type { S3Store } from './store.ts'

const BODY = Buffer.from('holdfast looks at what this storage can do\n', 'utf8')
/** Of the same size: only its hash differs. */
const OTHER = Buffer.from(BODY.toString('utf8').toUpperCase(), 'utf8')

/** Of no meaning to anybody. */
const UNSIGNED = 'x-amz-meta-holdfast'

/** What is left of a test that ran out of time is removed within this. */
const TIDY: Ms = 5 * SECOND
/** Grants are signed by the store's own clock, so a difference stops nothing; it is told, as others may stumble over it. */
const STRANGE_CLOCK: Ms = MINUTE

/** The status of the answer to a PUT with exactly these headers. */
export type SendPut = (signed: SignedPut, body: Uint8Array, stop: AbortSignal) => Promise<number>

export const sendPut: SendPut = async (signed, body, stop) => {
  // fetch sets these two by itself, to the same values.
  const headers = Object.fromEntries(
    Object.entries(signed.headers).filter(([name]) => name !== 'host' && name !== 'content-length'),
  )
  const response = await fetch(signed.url, {
    method: 'PUT',
    headers,
    body: Buffer.from(body),
    redirect: 'manual',
    signal: stop,
  })
  await response.arrayBuffer()
  return response.status
}

type Bench = {
  readonly store: S3Store
  readonly send: SendPut
  readonly stop: AbortSignal
  readonly key: string
  readonly granted: string
  readonly found: { conditional: boolean | null; bound: boolean | null }
}

type Outcome = {
  readonly problem: string
  readonly advice: string
  readonly serious: boolean
} | null

const bad = (problem: string, advice: string): Outcome => ({ problem, advice, serious: true })

const NOT_S3 = 'Use a storage that does what S3 does here; report it to whoever runs this one.'

const write = async ({ store, key, stop }: Bench): Promise<Outcome> => {
  const done = await store.put(key, BODY, { ifAbsent: false }, stop)
  return done === 'exists' ? bad('a name that is new exists already', NOT_S3) : null
}

const look = async ({ store, key, stop }: Bench): Promise<Outcome> => {
  const found = await store.head(key, stop)
  return found?.size === BODY.length ? null : bad('it does not show what was written', NOT_S3)
}

const read = async ({ store, key, stop }: Bench): Promise<Outcome> => {
  const whole = await store.get(key, { start: 0 }, stop)
  return whole !== null && BODY.equals(whole) ? null : bad('it gives other bytes', NOT_S3)
}

const range = async ({ store, key, stop }: Bench): Promise<Outcome> => {
  const part = await store.get(key, { start: 9, end: 14 }, stop)
  return part !== null && BODY.subarray(9, 14).equals(part)
    ? null
    : bad('a range gives other bytes', NOT_S3)
}

const list = async ({ store, key, stop }: Bench): Promise<Outcome> => {
  for await (const one of store.list(key, stop)) if (one === key) return null
  return bad('what was written is not in the list', NOT_S3)
}

const overwrite = async ({ store, key, stop, found }: Bench): Promise<Outcome> => {
  found.conditional = await store.refusesOverwrite(key, BODY, stop)
  if (found.conditional) return null
  return {
    problem: 'it does not refuse to overwrite when asked to (If-None-Match)',
    advice: 'It can be used; versions or object lock in the bucket guard what is there better.',
    serious: false,
  }
}

/** A grant, as an agent gets it: refused for other bytes, taken for the right ones. */
const grant = async ({ store, granted, stop, found, send }: Bench): Promise<Outcome> => {
  const sha256 = createHash('sha256').update(BODY).digest('base64url')
  const signed = store.sign({ key: granted, size: BODY.length, sha256 })
  const forged = await send(signed, OTHER, stop)
  found.bound = forged >= 400 && (await store.head(granted, stop)) === null
  if (!found.bound)
    return bad(
      'it takes other bytes than those that a grant was signed for',
      'Do not use this storage: whoever takes over a server could write anything into it.',
    )
  const right = await send(signed, BODY, stop)
  if (right >= 300) return bad(`it refuses a grant that we signed (${right})`, NOT_S3)
  // S3 refuses x-amz- headers that are not signed. Ceph 16 does not: such a PUT may say who reads the object.
  const headers = { ...signed.headers, [UNSIGNED]: 'unsigned' }
  const marked = await send({ ...signed, headers }, BODY, stop)
  if (marked >= 300) return null
  return {
    problem: 'it acts on headers that nobody signed',
    advice:
      'Make the bucket ignore public ACLs (PutPublicAccessBlock with IgnorePublicAcls): a server that was taken over could else make public what it uploads.',
    serious: false,
  }
}

const remove = async ({ store, key, granted, stop }: Bench): Promise<Outcome> => {
  await store.remove([key, granted], stop)
  return (await store.head(key, stop)) === null
    ? null
    : bad('what was deleted is still there', NOT_S3)
}

const clock = async ({ store }: Bench): Promise<Outcome> => {
  const skew = store.skew()
  await Promise.resolve()
  if (Math.abs(skew) < STRANGE_CLOCK) return null
  return {
    problem: `its clock is ${formatSpan(Math.abs(skew))} ${skew > 0 ? 'ahead of' : 'behind'} ours`,
    advice: 'Set the clocks of this machine and of the storage right.',
    serious: false,
  }
}

const STEPS = { write, look, read, range, list, overwrite, grant, delete: remove, clock } as const

const NAMES: readonly StorageStep['step'][] = [
  'write',
  'look',
  'read',
  'range',
  'list',
  'overwrite',
  'grant',
  'delete',
  'clock',
]

const skipped = (step: StorageStep['step']): StorageStep => ({
  step,
  status: 'skipped',
  took_ms: null,
  problem: null,
  advice: null,
})

export type ProbeParts = { readonly random: Random; readonly clock: Clock; readonly send: SendPut }

const take = async (
  bench: Bench,
  step: StorageStep['step'],
  [{ clock: time }, span]: readonly [ProbeParts, Ms],
): Promise<StorageStep> => {
  const began = time.monotonic()
  const since = (): number => Math.max(0, Math.round(time.monotonic() - began))
  try {
    const outcome = await STEPS[step](bench)
    const status = outcome === null ? 'passed' : outcome.serious ? 'failed' : 'warning'
    const { problem, advice } = outcome ?? { problem: null, advice: null }
    return { step, status, took_ms: since(), problem, advice }
  } catch (error) {
    const why = bench.stop.aborted
      ? {
          problem: `it did not answer within ${formatSpan(span)}`,
          advice: 'Check the endpoint, and that no firewall stands in between.',
        }
      : explain(step, error)
    return { step, status: 'failed', took_ms: since(), ...why }
  }
}

const tidy = async ({ store, key, granted }: Bench): Promise<void> => {
  try {
    await store.remove([key, granted], AbortSignal.timeout(TIDY))
  } catch {
    // The step that failed has said why.
  } finally {
    store.close()
  }
}

/**
 * Every step in turn, within `span` altogether. Without the first there is nothing to look at, and after the end of the
 * time there is no point: what is left is `skipped`. Closes the store; what a failed step left is removed behind the
 * answer. Never throws.
 */
export const examine = async (
  store: S3Store,
  span: Ms,
  parts: ProbeParts,
): Promise<StorageTrial> => {
  const name = (): string => downloadKey(Buffer.from(parts.random(16)).toString('hex'))
  const bench: Bench = {
    store,
    send: parts.send,
    stop: AbortSignal.timeout(span),
    key: name(),
    granted: name(),
    found: { conditional: null, bound: null },
  }
  const steps: StorageStep[] = []
  for (const step of NAMES) {
    const pointless = bench.stop.aborted || steps[0]?.status === 'failed'
    steps.push(pointless ? skipped(step) : await take(bench, step, [parts, span]))
  }
  const isDeleted = steps.some(({ step, status }) => step === 'delete' && status === 'passed')
  if (steps[0]?.status === 'passed' && !isDeleted) void tidy(bench)
  else store.close()
  const { conditional, bound } = bench.found
  const capabilities: StorageCapabilities | null =
    conditional === null || bound === null
      ? null
      : {
          conditional_put: conditional,
          content_bound_grants: bound,
          clock_skew_ms: store.skew(),
        }
  return { ok: steps.every(({ status }) => status !== 'failed'), steps, capabilities }
}
