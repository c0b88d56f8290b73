/** A control plane that this command can use: one that it started, or one that runs on the same data folder. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Health } from '#shared/api/health.ts'
import { fail } from '#shared/errors.ts'
import type { RecoveryKit } from '#shared/format/recovery-kit.ts'
import { parser } from '#shared/schema.ts'
import { SECOND } from '#shared/units.ts'

/** Where a control plane is to be reached, as it wrote it into its data folder. */
export type Running = { readonly url: string; readonly pid: number; readonly instance: string }

export type Plane = Running & {
  /** Of all scopes. */
  readonly token: string
  /** Whether this process runs it, and so ends it. */
  readonly own: boolean
  stop(): Promise<void>
  /** Settles when a part of it died by itself, with why. */
  readonly broken: Promise<Error>
}

export type PlaneParts = {
  /** Starts one, unless another process has the data folder: then `null`. */
  start(deliver: (kit: RecoveryKit) => Promise<void>, stop: AbortSignal): Promise<Plane | null>
  /** What the data folder says about a running one. */
  readRunning(): Promise<Running | null>
  readToken(): Promise<string | null>
}

const ANSWER = 3 * SECOND
const APPEAR = 90 * SECOND
const parseHealth = parser(Health)

/** Whether the process that wrote `running` answers there, and not another one that has the port by now. */
const answers = async (running: Running, stop: AbortSignal): Promise<boolean> => {
  try {
    const response = await fetch(`${running.url}/healthz`, {
      redirect: 'error',
      signal: AbortSignal.any([stop, AbortSignal.timeout(ANSWER)]),
    })
    const health = parseHealth(await response.json())
    return 'ok' in health && health.ok.instance === running.instance
  } catch {
    stop.throwIfAborted()
    return false
  }
}

const attach = async (parts: PlaneParts, stop: AbortSignal): Promise<Plane | null> => {
  const running = await parts.readRunning()
  if (running === null || !(await answers(running, stop))) return null
  const token = await parts.readToken()
  if (token === null) return null
  return {
    ...running,
    token,
    own: false,
    stop: async () => Promise.resolve(),
    broken: new Promise(() => undefined),
  }
}

/**
 * The data folder belongs to one process at a time. While another has it, that one's API is used, as soon as it
 * answers; if it goes away meanwhile, the folder is free and this process starts its own.
 */
export const openPlane = async (
  parts: PlaneParts,
  deliver: (kit: RecoveryKit) => Promise<void>,
  stop: AbortSignal,
): Promise<Plane> => {
  const deadline = performance.now() + APPEAR
  for (;;) {
    const plane = (await parts.start(deliver, stop)) ?? (await attach(parts, stop))
    if (plane !== null) return plane
    if (performance.now() > deadline)
      throw fail('CONFLICT', {
        problem: 'Another process holds this data folder and its control plane does not answer',
      })
    await sleep(SECOND / 4, undefined, { signal: stop })
  }
}
