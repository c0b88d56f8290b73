/** Asks the control plane again and again while its database is away: 503 and nothing else, and it lives. */
import { setTimeout as sleep } from 'node:timers/promises'
import { SECOND } from '#shared/units.ts'
import type { Instance } from '../support/instance.ts'

export type Probe = {
  /** How often each status was answered, and what should not have been. */
  stop(): Promise<{ readonly unavailable: number; readonly violations: readonly string[] }>
}

const EVERY = 40
const PATIENCE = 10 * SECOND

const ask = async (
  { url, token }: Instance,
  path: string,
): Promise<{ readonly status: number; readonly body: string }> => {
  const response = await fetch(`${url}${path}`, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(PATIENCE),
  })
  return { status: response.status, body: await response.text() }
}

export const probe = (instance: Instance): Probe => {
  const violations: string[] = []
  let unavailable = 0
  let over = false
  const say = (text: string): void => {
    if (violations.length < 10) violations.push(text)
  }
  const once = async (): Promise<void> => {
    try {
      const health = await ask(instance, '/healthz')
      if (health.status !== 200) say(`/healthz answered ${health.status}`)
      const { status, body } = await ask(instance, '/v1/backups?limit=1')
      if (status === 503) unavailable += 1
      if (status === 503 ? !body.includes('DATABASE_UNAVAILABLE') : status !== 200)
        say(`without a database the control plane answered ${status}: ${body.slice(0, 300)}`)
    } catch (error) {
      say(`without a database the control plane did not answer: ${String(error)}`)
    }
  }
  const asking = (async (): Promise<void> => {
    const isOver = (): boolean => over
    while (!isOver()) {
      await once()
      await sleep(EVERY)
    }
  })()
  return {
    stop: async () => {
      over = true
      await asking
      return { unavailable, violations }
    },
  }
}
