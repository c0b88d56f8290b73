/** What `open` is asked, what it tells while it works, and what it says at the end. */
import type { RecordBody } from '#shared/format/record.ts'
import type { Entry } from '#shared/format/tree.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { RestoreCounts, RestoreEvent } from './restore-events.ts'
import type { Gap } from './restore-history.ts'
import type { Problem } from './restore-job.ts'

export type OpenAsk = {
  /** One folder, or URLs of objects. */
  readonly sources: readonly string[]
  readonly urlFiles: readonly string[]
  readonly identities: readonly string[]
  /** base64url. */
  readonly genesis?: string
  readonly vault?: string
  readonly job?: string
  /** An id, `latest` or `all`. */
  readonly backup: string
  readonly action:
    | { readonly do: 'list' }
    | { readonly do: 'ls'; readonly path: string; readonly recursive: boolean }
    | { readonly do: 'restore'; readonly target: string; readonly paths: readonly string[] }
}

export type OpenEvent =
  | {
      readonly at: 'vault'
      readonly vault: string
      readonly trust: 'fingerprint' | 'first-use'
      /** base64url SHA-256 of the genesis. */
      readonly fingerprint: string
      readonly backups: number
    }
  | { readonly at: 'backup'; readonly body: RecordBody }
  /** The one that is listed or restored. */
  | { readonly at: 'chosen'; readonly body: RecordBody }
  /** An object of the vault that cannot be used. */
  | { readonly at: 'problem'; readonly key: string; readonly problem: Problem }
  | { readonly at: 'gap'; readonly gap: Gap }
  /** A record that cannot be used and may be newer than the backup that was taken for the newest. */
  | { readonly at: 'newer'; readonly key: string }
  | { readonly at: 'entry'; readonly path: Bytes; readonly entry: Entry }
  /** The counts grow from here on. */
  | { readonly at: 'restoring'; readonly counts: RestoreCounts }
  | { readonly at: 'restored'; readonly counts: RestoreCounts; readonly folder: string }
  | { readonly at: 'verified'; readonly counts: RestoreCounts }
  | RestoreEvent

/** `partial`: something, but not all, of what was asked for; `absent`: there is no such thing. */
export type Verdict = 'done' | 'partial' | 'damaged' | 'absent'
