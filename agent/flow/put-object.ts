/** One object → the store: PUT again and again, under newly signed grants where that can help, until it is there. */
import { fail } from '#shared/errors.ts'
import type { Grant } from '#shared/protocol/orders.ts'
import { MINUTE } from '#shared/units.ts'
import { chanceFrom, delayOf, REUPLOAD } from '../core/backoff.ts'
import type { Brake } from '../core/brake.ts'
import type { Patience } from '../core/patience.ts'
import { isOver, type Trouble, troubleAfter } from '../core/trouble.ts'
import type { Outgoing, Upload, World } from '../ports.ts'
import type { Batcher } from './batcher.ts'
import type { Pace } from './pace.ts'

export type PutParts = {
  readonly upload: Upload
  readonly world: World
  readonly patience: Patience
  readonly grants: Batcher<Outgoing, Grant>
  readonly pace: Pace
  readonly brake: Brake
  /** A line for the log of the run. */
  readonly say: (text: string) => void
  readonly stop: AbortSignal
}

export type Put = { readonly grant: Grant; readonly etag: string }

/** A grant that would expire this soon is not begun. */
const GRANT_MARGIN = MINUTE
/** A failure or two pass by themselves: the log of the run gets the third, and then each tenth. */
const TOLD_FROM = 3
const TOLD_EACH = 10

/**
 * 412 means that an earlier try arrived, which the control plane will look at. `UPLOAD_FAILED`, with the store's words,
 * when the patience is over. What an ETag says is for the control plane to compare: stores that encrypt give ones that
 * look like an MD5 and are none, and the body's SHA-256 is signed into the grant. A pause breaks it off; that is no failure.
 */
export const putUntilStored = async (parts: PutParts, object: Outgoing): Promise<Put> => {
  const { upload, world, patience, grants, pace, brake, say, stop } = parts
  const { clock, random, log } = world
  let trouble: Trouble | null = null
  let grant = await grants.add(object)
  for (let attempt = 1; ; attempt += 1) {
    await brake.off(stop)
    if (grant.expires_at - clock.now() < GRANT_MARGIN && attempt > 1)
      grant = await grants.add(object)
    const { on } = brake
    const outcome = await upload(grant, object.bytes, AbortSignal.any([stop, on]))
    if (outcome.done !== 'failed') pace.wentWell()
    if (outcome.done === 'stored') return { grant, etag: outcome.etag }
    if (outcome.done === 'exists') return { grant, etag: '' }
    stop.throwIfAborted()
    if (on.aborted) continue
    if (outcome.slow) pace.slowDown()
    const { key } = grant
    log.warn({ key, attempt, problem: outcome.problem }, 'an upload failed')
    if (attempt % TOLD_EACH === TOLD_FROM)
      say(`The upload of ${key} failed ${String(attempt)} times: ${outcome.problem}. Trying again.`)
    trouble = troubleAfter(trouble, outcome.lasting, clock.monotonic())
    if (isOver(trouble, clock.monotonic(), patience))
      throw fail('UPLOAD_FAILED', { key, problem: outcome.problem })
    await clock.sleep(delayOf(REUPLOAD, attempt, chanceFrom(random)), stop)
    if (outcome.regrant) grant = await grants.add(object)
  }
}
