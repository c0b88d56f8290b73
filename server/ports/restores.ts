/** Restores: what people ask for, and what their runs need. */
import type { Restore, RestoreQuery } from '#shared/api/restores.ts'
import type { BackupId, OpenRequestId, OrgId, RestoreId, ServerId } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'
import type { Run } from '../core/backup-machine.ts'
import type { Wanted } from '../core/selection.ts'
import type { AgentKeys, Reads } from '../ports.ts'
import type { NewOpenRequest } from './open-requests.ts'
import type { CommittedBackup } from './reading.ts'

export type ConflictRule = 'overwrite' | 'skip' | 'refuse'

/** A server as the place of a restore. */
export type RestoreTarget = {
  readonly server: ServerId
  readonly name: string
  /** `null`: no agent is enrolled there. */
  readonly keys: AgentKeys | null
}

export type NewRestore = {
  readonly id: RestoreId
  readonly of: CommittedBackup
  readonly server: ServerId
  /** Empty: where everything was. */
  readonly target: string
  readonly conflict: ConflictRule
  /** What it writes at or below. */
  readonly places: readonly string[]
  readonly wanted: readonly Wanted[]
  /** It waits until this is approved. */
  readonly openRequest: NewOpenRequest | null
}

/** What stands in the way of a restore. */
export type InTheWay = { readonly kind: 'backup' | 'restore'; readonly id: string }

export type RestoreScope = {
  readonly restore: RestoreId
  readonly organization: OrgId
  readonly server: ServerId
  readonly backup: BackupId
  readonly backupName: string
  readonly jobName: string
  readonly target: string
  readonly conflict: ConflictRule
  readonly selectionPages: number
  readonly openRequest: OpenRequestId | null
  /** X25519, of the agent that is enrolled there now. */
  readonly boxKey: Uint8Array | null
  readonly run: Run
}

export type Restores = Reads<Restore, RestoreId, RestoreQuery> & {
  /** A server of the caller's. */
  target(caller: Caller, server: ServerId): Promise<RestoreTarget | null>
  /** The paths that the backup was made of. */
  sources(backup: BackupId): Promise<readonly string[]>
  /**
   * One transaction: the pending restore with its open request, or what is in the way. `touches` says whether two sets of
   * places meet; of two callers for one server one waits for the other.
   */
  start(
    caller: Caller,
    wanted: NewRestore,
    touches: (some: readonly string[], others: readonly string[]) => boolean,
  ): Promise<InTheWay | null>
  /** A restore of this server's; `null` for anybody else's. */
  scope(restore: string, server: ServerId): Promise<RestoreScope | null>
  /** A page of what is wanted, raw bytes in base64url; `null` where there is no such page. */
  selection(
    restore: RestoreId,
    page: number,
  ): Promise<readonly { readonly raw: string; readonly glob: boolean }[] | null>
  /** Restores that wait for an open request whose time is over. */
  unopened(limit: number): Promise<readonly RestoreId[]>
}
