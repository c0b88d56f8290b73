/** Objects that an agent says it has put: looked at, then *stored*. PROTOCOL.md, "objects.stored". */
import { fail } from '#shared/errors.ts'
import { parseHeader } from '#shared/format/age.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import type { GrantedObject, Link, StoredObjectNote, VaultStore } from '../ports.ts'
import { type AgentParts, eachOf, freshId, heldScope, leaseLost } from './agent-parts.ts'

/** HEADs at once, for one request. */
export const LOOKS_AT_ONCE = 16

const NONCE = 16

type Said = Reports['objects.stored']['objects'][number]

type Looking = {
  readonly store: Pick<VaultStore, 'head'>
  readonly clock: Clock
  readonly stop: AbortSignal
}

/** What one look finds, or what speaks against it. */
const lookOnce = async (
  { store, stop }: Looking,
  [object, etag]: readonly [GrantedObject, string],
): Promise<{ readonly etag: string } | { readonly problem: string }> => {
  const found = await store.head(object.key, stop)
  if (found === null) return { problem: 'it is not in the store' }
  if (found.size !== object.size)
    return { problem: `it has ${found.size} bytes, not ${object.size}` }
  const wanted = etag.replace(/^"|"$/g, '')
  return wanted === '' || wanted === found.etag
    ? { etag: found.etag }
    : { problem: 'its ETag is another one' }
}

/** A store may be late to show what it has just taken, and wrong once: so often is it asked before an object counts as missing. */
const LOOKS = 4
const BETWEEN: Ms = SECOND / 5

/**
 * Resolves with the object's ETag; `UPLOAD_FAILED` unless the store has it as granted and, where an ETag is known, with that
 * one. One that nobody knows counts when the store says it twice.
 */
export const lookAt = async (
  looking: Looking,
  [object, etag]: readonly [GrantedObject, string],
): Promise<string> => {
  let wanted = etag
  let problem = ''
  for (let look = 1; look <= LOOKS; look += 1) {
    const found = await lookOnce(looking, [object, wanted])
    if ('etag' in found) {
      if (wanted !== '') return found.etag
      wanted = found.etag
      continue
    }
    problem = found.problem
    // Which of two different ones was right?
    wanted = etag
    if (look < LOOKS) await looking.clock.sleep(BETWEEN * look, looking.stop)
  }
  throw fail('UPLOAD_FAILED', { key: object.key, problem })
}

/** Header and payload nonce exactly, as opening will need them; what is no age file has none. */
const checkHeader = (object: GrantedObject, header: Uint8Array): void => {
  const refuse = (problem: string): Error => fail('UPLOAD_FAILED', { key: object.key, problem })
  if (object.class === 'signer') {
    if (header.length > 0) throw refuse('a signer has no age header')
    return
  }
  const { headerLength } = parseHeader(header)
  if (header.length !== headerLength + NONCE) throw refuse('its header is not header and nonce')
}

export const confirmObjects = async (
  parts: AgentParts,
  [link, report]: readonly [Link, Reports['objects.stored']],
  stop: AbortSignal,
): Promise<Order> => {
  const scope = await heldScope(parts, link, report)
  const store = await parts.stores.open(scope.storage)
  const granted = await parts.objects.find(scope.backup, report.objects)
  const byName = new Map(granted.map((object) => [`${object.class} ${object.no}`, object]))
  const objectOf = (said: Said): GrantedObject => {
    const name = `${said.class} ${said.no}`
    const object = byName.get(name)
    if (object === undefined)
      throw fail('GRANT_REFUSED', { what: name, problem: 'it was never granted' })
    return object
  }
  const looking = { store, clock: parts.clock, stop }
  const look = async (said: Said): Promise<StoredObjectNote | null> => {
    const object = objectOf(said)
    if (object.etag !== null) return null
    const header = new Uint8Array(Buffer.from(said.header, 'base64url'))
    checkHeader(object, header)
    return { object, header, etag: await lookAt(looking, [object, said.etag]) }
  }
  const notes = await eachOf(report.objects, LOOKS_AT_ONCE, look)
  const fresh = notes.filter((note) => note !== null)
  if (!(await parts.objects.store(scope.backup, report.epoch, fresh))) throw leaseLost(report.run)
  return { type: 'objects.confirmed', id: freshId(parts), re: report.id, run: report.run }
}
