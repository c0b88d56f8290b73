/** What people want of a server's settings, as they are kept; nonsense is refused by the name of its field. */
import type { ServerSettings, ServerSettingsChange } from '#shared/api/server-settings.ts'
import { fail } from '#shared/errors.ts'
import type { ServerId } from '#shared/ids.ts'
import { isTimezone, LEAST_LIMIT, type LimitWindow } from '#shared/limits.ts'
import { formatBytes, parseSize } from '#shared/units.ts'
import type { Caller } from '../core/caller.ts'
import type { AgentSettings, ServerSettingsRows } from '../ports/server-settings.ts'
import { found } from './found.ts'

type Given = number | string | null

const speedOf = (given: Given, field: string): number | null => {
  if (given === null) return null
  const bytes = typeof given === 'string' ? parseSize(given) : given
  if (bytes === null)
    throw fail('VALIDATION_FAILED', { field, problem: 'is not a number of bytes such as "2MiB"' })
  if (bytes < LEAST_LIMIT)
    throw fail('VALIDATION_FAILED', {
      field,
      problem: `must be at least ${formatBytes(LEAST_LIMIT)} (${LEAST_LIMIT}) a second, or null`,
    })
  return bytes
}

type WindowGiven = NonNullable<ServerSettingsChange['limit_windows']>[number]

const windowOf = (window: WindowGiven, index: number): LimitWindow => {
  const at = `limit_windows.${index}`
  const { from, to, days } = window
  if (from === to)
    throw fail('VALIDATION_FAILED', {
      field: `${at}.to`,
      problem: 'must be another time than from',
    })
  return {
    from,
    to,
    ...(days === undefined ? {} : { days: [...new Set(days)] }),
    upload_limit: speedOf(window.upload_limit ?? null, `${at}.upload_limit`),
    download_limit: speedOf(window.download_limit ?? null, `${at}.download_limit`),
  }
}

const zoneOf = (timezone: string): string => {
  if (!isTimezone(timezone))
    throw fail('VALIDATION_FAILED', {
      field: 'timezone',
      problem: 'is not a time zone such as "Europe/Berlin"',
    })
  return timezone
}

const keptOf = (change: ServerSettingsChange): Partial<AgentSettings> => {
  const { upload_limit: upload, download_limit: download, limit_windows: windows } = change
  const { timezone, priority } = change
  return {
    ...(upload === undefined ? {} : { upload_limit: speedOf(upload, 'upload_limit') }),
    ...(download === undefined ? {} : { download_limit: speedOf(download, 'download_limit') }),
    ...(windows === undefined ? {} : { limit_windows: windows.map(windowOf) }),
    ...(timezone === undefined ? {} : { timezone: zoneOf(timezone) }),
    ...(priority === undefined ? {} : { priority }),
  }
}

/** The agent hears of it with the answer to its next heartbeat, also in the middle of a run. */
export const changeSettings = async (
  settings: ServerSettingsRows,
  caller: Caller,
  [id, change]: readonly [string, ServerSettingsChange],
): Promise<ServerSettings> => {
  const kept = keptOf(change)
  return found('server', id, async (server: ServerId) => settings.change(caller, server, kept))
}
