/** The settings of a server; where nobody said anything, the defaults. */
import type { ServerSettings } from '#shared/api/server-settings.ts'
import type { ServerId } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'

/** What is said to the agent. */
export type AgentSettings = Omit<ServerSettings, 'server_id' | 'updated_at'>

export type ServerSettingsRows = {
  get(caller: Caller, id: ServerId): Promise<ServerSettings | null>
  /** What is not named stays. */
  change(
    caller: Caller,
    id: ServerId,
    change: Partial<AgentSettings>,
  ): Promise<ServerSettings | null>
}
