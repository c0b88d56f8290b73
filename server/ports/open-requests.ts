/** Open requests: asking the holder of a customer's key to open packs for somebody (FORMAT.md, "Keys"). */
import type {
  OpenRequest,
  OpenRequestPack,
  OpenRequestQuery,
  Purpose,
} from '#shared/api/open-requests.ts'
import type { BackupId, OpenRequestId, ServerId, TokenId, VaultId } from '#shared/ids.ts'
import type { Ms } from '#shared/units.ts'
import type { Caller } from '../core/caller.ts'
import type { Wanted } from '../core/selection.ts'
import type { Link, Reads } from '../ports.ts'
import type { CommittedBackup } from './reading.ts'

/** Whom everything is sealed to: the agent of a server, a token's program, or the control plane itself. */
export type Opener =
  | {
      readonly type: 'agent'
      readonly name: string
      readonly key: Uint8Array
      readonly server: ServerId
      readonly signingKey: Uint8Array
    }
  | {
      readonly type: 'token'
      readonly name: string
      readonly key: Uint8Array
      readonly token: TokenId
    }
  | {
      readonly type: 'control-plane'
      readonly name: string
      readonly key: Uint8Array
      /** Sealed before it is stored. */
      readonly secret: Uint8Array
    }

export type NewOpenRequest = {
  readonly id: OpenRequestId
  readonly purpose: Purpose
  readonly of: Pick<CommittedBackup, 'backup' | 'vault' | 'organization'>
  readonly opener: Opener
  /** What is wanted of the backup; none is everything. */
  readonly wanted: readonly Wanted[]
  /** Numbers of packs, ascending. */
  readonly packs: readonly number[]
  readonly lifetime: Ms
}

/** An approved request whose time is not over. */
export type Approval = {
  readonly id: OpenRequestId
  readonly purpose: Purpose
  readonly backup: BackupId
  readonly vault: VaultId
  readonly openerKey: Uint8Array
  /** Both for the purposes of shared/protocol/open-request.ts; nobody but the opener can read them. */
  readonly sealedIdKey: Uint8Array
}

export type GivenKeys = {
  readonly keys: ReadonlyMap<number, Uint8Array>
  /** With the last keys. */
  readonly sealedIdKey: Uint8Array | null
  /** Others follow: nothing is approved yet. */
  readonly more: boolean
}

export type ApproveOutcome =
  | 'stored'
  | 'approved'
  /** Keys for packs that were not asked for, or none for some that were: the first of them, and how many. */
  | { readonly wrong: 'unasked' | 'missing'; readonly pack: number; readonly count: number }
  | { readonly wrong: 'status'; readonly status: 'approved' | 'expired' }

/** A request that its agent has not signed yet, and was not asked to on this connection. */
export type Unsigned = {
  readonly id: OpenRequestId
  readonly link: Link
  readonly purpose: Purpose
  readonly backup: BackupId
  /** base64url. */
  readonly packsSha256: string
  readonly expiresAt: Ms
}

export type Proof = Omit<Unsigned, 'link'> & {
  readonly signingKey: Uint8Array
  readonly openerKey: Uint8Array
}

export type OpenRequests = Reads<OpenRequest, OpenRequestId, OpenRequestQuery> & {
  add(caller: Caller, wanted: NewOpenRequest): Promise<void>
  /** All packs above number `after`, ascending. */
  packs(id: OpenRequestId, after: number, limit: number): Promise<readonly OpenRequestPack[]>
  /** One transaction under the row's lock; `null` where it is not the caller's. A restore that waits for it may begin. */
  approve(caller: Caller, id: OpenRequestId, given: GivenKeys): Promise<ApproveOutcome | null>
  /** `null` unless it is approved; `forRun`: by a run that has begun, also after its time. */
  approval(id: OpenRequestId, how?: { readonly forRun: boolean }): Promise<Approval | null>
  /** The sealed file keys of these packs, as far as they were given. */
  sealedKeys(id: OpenRequestId, packs: readonly number[]): Promise<ReadonlyMap<number, Uint8Array>>
  /** The opener's secret half, where the control plane is the opener. */
  openerSecret(id: OpenRequestId): Promise<Uint8Array | null>
  /** Requests to be signed by agents of these connections; each is answered once a connection. */
  unsigned(links: readonly Link[], limit: number): Promise<readonly Unsigned[]>
  /** What an agent's signature must be over, where the request waits for one of that server. */
  toProve(id: string, server: ServerId): Promise<Proof | null>
  sign(id: OpenRequestId, signature: Uint8Array): Promise<void>
}
