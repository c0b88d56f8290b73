/** Backups and restores at work: claimed for a connection, leased, heard of, over. */
import type { BackupId, JobId, KeyId, OrgId, ServerId, StorageId, VaultId } from '#shared/ids.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import type { Ms } from '#shared/units.ts'
import type { Run, RunRef, Step, Verdict } from '../core/backup-machine.ts'
import type { RunLine } from '../core/run-log.ts'
import type { Link } from '../ports.ts'

export type Held = { readonly of: RunRef; readonly run: Run }
export type Settled = { readonly before: Run; readonly run: Run; readonly verdict: Verdict }

/** A backup as the flows behind its agent see it. */
export type RunScope = {
  readonly backup: BackupId
  readonly organization: OrgId
  readonly server: ServerId
  readonly job: JobId
  readonly storage: StorageId
  readonly key: KeyId
  readonly vault: VaultId | null
  readonly run: Run
  readonly startedAt: Ms
}

/** All that `backup.start` says besides ids and epochs. */
export type Briefing = Pick<
  BackupStart,
  'job_name' | 'vault' | 'catalog_epoch' | 'sequence' | 'parent' | 'sources' | 'gc_epoch'
> & {
  readonly kept: readonly number[]
  readonly gone: readonly number[]
  /** No pack that the agent knows of counts. */
  readonly forget: boolean
  readonly retired: readonly number[]
  /** What the backup before had. */
  readonly expected: BackupStart['expected'] | null
}

type Said<Report> = Omit<Report, 'type' | 'id' | 're' | 'run' | 'epoch'>

/** `estimate` as it was understood when it came. */
export type RunProgress = Omit<Said<Reports['progress']>, 'estimate'> & {
  readonly estimate?: StoredEstimate
}
export type StoredEstimate = {
  readonly share: number | null
  readonly rate: number | null
  readonly ends: readonly [Ms, Ms] | null
  readonly revisions: number
}
export type RestoreProgress = Said<Reports['restore.progress']>

/** What an agent says of a restore that is over. */
export type RestoreResult = Pick<RestoreProgress, 'counts' | 'bytes_restored' | 'bytes_fetched'>

export type Runs = {
  /** Offers: waiting runs of these servers, oldest first, as `decide` changes them; no run to two callers. */
  claim(
    kind: RunRef['kind'],
    links: readonly Link[],
    limit: number,
    /** `timeout`: how long the run may take; `null` where it does not say. */
    decide: (run: Run, link: Link, now: Ms, timeout: Ms | null) => Step,
  ): Promise<readonly (Held & { readonly link: Link })[]>
  /** Locks the run, lets `decide` see it at the database's time, and stores what it makes of it, with `result` if it changes. */
  change(
    of: RunRef,
    decide: (run: Run, now: Ms) => Step,
    result?: RestoreResult,
  ): Promise<Settled | null>
  /** A run of this server's, of either kind; `null` for anybody else's. */
  find(id: string, server: ServerId): Promise<Held | null>
  /** A backup of this server's; `null` for anybody else's. */
  scope(backup: BackupId, server: ServerId): Promise<RunScope | null>
  /** What a heartbeat is about: every running run of the server, and those of `listed` (ids) that are over. */
  heldBy(server: ServerId, listed: readonly string[]): Promise<readonly Held[]>
  /** Runs whose lease or deadline is over, at most `limit` of each kind. */
  overdue(limit: number): Promise<readonly (Held & { readonly server: ServerId })[]>
  /** Binds the run to its vault, with the gc_epoch that it is told of as its floor, and says what the agent has to know. */
  brief(backup: BackupId, vault: VaultId): Promise<Briefing>
  /** `false` where the epoch is not the current one. */
  progress(of: RunRef, epoch: number, now: RunProgress | RestoreProgress): Promise<boolean>
  /** The same; what goes beyond the most lines of a run is not kept. */
  log(of: RunRef, epoch: number, lines: readonly RunLine[]): Promise<boolean>
}
