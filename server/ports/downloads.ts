/** Downloads that the control plane prepares: their rows, which are also the claims of those who work on them. */
import type { Download } from '#shared/api/downloads.ts'
import type { BackupId, DownloadId, OpenRequestId, OrgId, StorageId } from '#shared/ids.ts'
import type { Failure } from '#shared/errors.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { Caller } from '../core/caller.ts'
import type { Wanted } from '../core/selection.ts'
import type { CommittedBackup } from './reading.ts'
import type { Claim, Tasks } from './tasks.ts'

export type NewDownload = {
  readonly id: DownloadId
  readonly of: CommittedBackup
  readonly name: string
  readonly wanted: readonly Wanted[]
  readonly openRequest: OpenRequestId | null
  /** Seconds. */
  readonly expiresIn: number
}

/** An object that is stored. `path` null: everything. */
export type PreparedObject = {
  readonly no: number
  readonly key: string
  readonly name: string
  readonly path: Bytes | null
  readonly size: number
}

/** A download as it is shown, before its links are signed: that takes the storage. */
export type DownloadView = {
  readonly download: Omit<Download, 'links' | 'files' | 'file_count'>
  readonly storage: StorageId
  /** While it is ready: all of them, in order. */
  readonly objects: readonly PreparedObject[]
  /** Why it has failed. */
  readonly failure: Failure | null
  /** Whole seconds that its links may still live; 0 when it is not ready. */
  readonly seconds: number
}

export type DownloadProgress = {
  readonly bytes_total: number | null
  readonly bytes_done: number
  readonly files_done: number
}

/** What whoever has claimed a download has to know. */
export type DownloadJob = {
  readonly id: DownloadId
  readonly organization: OrgId
  readonly backup: BackupId
  readonly storage: StorageId
  readonly name: string
  readonly wanted: readonly Wanted[]
  readonly openRequest: OpenRequestId | null
}

/** What is to be removed: names, whether or not anything lies under them. */
export type Leaving = {
  readonly id: DownloadId
  readonly storage: StorageId
  readonly keys: readonly string[]
}

export type Downloads = Tasks<DownloadJob, DownloadProgress> & {
  add(caller: Caller, wanted: NewDownload): Promise<void>
  get(caller: Caller, id: DownloadId): Promise<DownloadView | null>
  /** Nobody sees it any more, whoever works on it has lost it, and its objects leave. `null`: it is not the caller's. */
  remove(caller: Caller, id: DownloadId): Promise<Leaving | null>

  /** The objects that earlier attempts have stored. */
  objects(claim: Claim<DownloadJob>): Promise<readonly PreparedObject[]>
  /** Notes a name before anything is written under it; `false` where the claim is lost. */
  begin(claim: Claim<DownloadJob>, object: Omit<PreparedObject, 'size'>): Promise<boolean>
  /** The object is there; `false` where the claim is lost. */
  stored(claim: Claim<DownloadJob>, key: string, size: number): Promise<boolean>
  /** From here on its time runs. */
  ready(claim: Claim<DownloadJob>, progress: DownloadProgress): Promise<boolean>

  /** Downloads whose time is over, and those that failed or were removed; at most `limit`, the longest waiting first. */
  leaving(limit: number): Promise<readonly Leaving[]>
  /** Nothing of it is in the storage any more, but for what somebody may still write who does not know that he lost it. */
  left(id: DownloadId): Promise<void>
  /** The storage did not do it: again later. */
  stays(id: DownloadId): Promise<void>
  /** Forgets rows that were over long ago. */
  forget(): Promise<void>
}
