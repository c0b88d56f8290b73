/** Answers that are given again: the same key and request, the same answer for 24 hours. */
import type { Id } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'

/** A request that is the caller's to do. */
export type HeldKey = {
  readonly caller: Caller
  readonly key: string
  readonly holder: Id<'message'>
}

export type KeptAnswer = { readonly status: number; readonly body: string }

export type KeyClaim =
  /** Do it, and say what came of it. */
  | { readonly is: 'mine'; readonly held: HeldKey }
  | { readonly is: 'done'; readonly answer: KeptAnswer }
  /** Another request with the key is at work. */
  | { readonly is: 'busy' }
  /** The key was used for another request. */
  | { readonly is: 'other' }

export type Idempotency = {
  /** `request`: all that the answer depends on. Of two at once, one gets it. */
  claim(caller: Caller, key: string, request: string): Promise<KeyClaim>
  /** Still at work: the lease goes on. */
  renew(held: HeldKey): Promise<void>
  keep(held: HeldKey, answer: KeptAnswer): Promise<void>
  /** Nothing came of it: the key is free for another try. */
  release(held: HeldKey): Promise<void>
}
