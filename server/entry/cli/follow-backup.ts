/** Starts a backup and shows it until it is over. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Backup, Progress } from '#shared/api/backups.ts'
import type { Job } from '#shared/api/jobs.ts'
import { Server } from '#shared/api/servers.ts'
import { fail, hasCode } from '#shared/errors.ts'
import { MINUTE, SECOND } from '#shared/units.ts'
import type { Api } from './api-client.ts'
import { patient } from './patient.ts'
import { progressView, type Screen } from './screen.ts'

// Below the 600 requests a minute of a token, with room for everybody else who uses it.
const LOOK_EVERY = SECOND / 4
const QUIET = 10 * SECOND
const LONGEST_ABSENCE = 2 * MINUTE

/** The new backup, or the one that runs already: it is the same work. */
const startOrJoin = async (
  { api, wishes = {} }: Following,
  job: Job,
  stop: AbortSignal,
): Promise<{ readonly backup: Backup; readonly joined: boolean }> => {
  try {
    const backup = await api.post(`/v1/jobs/${job.id}/backups`, wishes, Backup, stop)
    return { backup, joined: false }
  } catch (error) {
    if (!hasCode(error, 'OPERATION_IN_PROGRESS')) throw error
    const backup = await api.get(`/v1/backups/${String(error.details['id'])}`, Backup, stop)
    return { backup, joined: true }
  }
}

const isOver = (status: Backup['status']): boolean => status !== 'pending' && status !== 'running'

export type Following = {
  readonly api: Api
  readonly screen: Screen
  /** Asked when nothing moves: why the agent may not be there. */
  readonly whyWaiting: () => string | null
  /** What is said of the new backup: its name, its tags. */
  readonly wishes?: Readonly<Record<string, unknown>>
}

/** Looks every few seconds of waiting whether there is an agent at all, and gives up when there is none for long. */
const patience = ({ api, screen, whyWaiting }: Following, job: Job) => {
  let since = performance.now()
  let said = since
  return async (progress: Progress, stop: AbortSignal): Promise<void> => {
    const now = performance.now()
    const isWaiting = progress.phase === 'waiting' && progress.paused_at === null
    if (!isWaiting) since = now
    if (!isWaiting || now - said < QUIET) return
    said = now
    const server = await api.get(`/v1/servers/${job.server_id}`, Server, stop)
    if (server.status === 'online') {
      since = now // It is there and busy with other work.
      return
    }
    if (now - since > LONGEST_ABSENCE) throw fail('AGENT_OFFLINE', { server: server.name })
    const reason = whyWaiting()
    if (reason !== null) screen.say(reason)
  }
}

/** The backup as it ended, well or not. Throws `AGENT_OFFLINE` when no agent comes for two minutes. */
export const followBackup = async (
  following: Following,
  job: Job,
  stop: AbortSignal,
): Promise<Backup> => {
  const { screen } = following
  const { backup, joined } = await startOrJoin(following, job, stop)
  if (joined) screen.say('A backup of this job runs already; following it.')
  const api = patient(following.api)
  const view = progressView(screen)
  const wait = patience({ ...following, api }, job)
  try {
    for (;;) {
      const progress = await api.get(`/v1/backups/${backup.id}/progress`, Progress, stop)
      view.show(progress)
      if (isOver(progress.status)) break
      await wait(progress, stop)
      await sleep(LOOK_EVERY, undefined, { signal: stop })
    }
  } finally {
    view.end()
  }
  return api.get(`/v1/backups/${backup.id}`, Backup, stop)
}

/** Null: somebody deleted it while it was followed, or right after its end. */
export const followUnlessDeleted = async (
  following: Following,
  job: Job,
  stop: AbortSignal,
): Promise<Backup | null> => {
  try {
    return await followBackup(following, job, stop)
  } catch (error) {
    if (!hasCode(error, 'RESOURCE_NOT_FOUND') || error.details['resource'] !== 'backup') throw error
    following.screen.say('The backup was deleted; it is not followed any more.')
    return null
  }
}
