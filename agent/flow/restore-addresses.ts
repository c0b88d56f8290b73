/**
 * Where the objects of a restore can be read: the control plane signs an address for each and seals its key, many in one
 * request. Both are asked for again when they run out, and are believed in nothing: what an object must be is signed.
 */
import { hasCode, fail } from '#shared/errors.ts'
import { parseBase64url } from '#shared/format/bytes.ts'
import type { PackNo } from '#shared/format/locator.ts'
import type { OpenedPack } from '#shared/protocol/restore-orders.ts'
import type { Access, Located, ObjectFacts } from '#shared/read/access.ts'
import { type Opener, openWithSealed } from '#shared/read/handed.ts'
import { createRecent } from '#shared/read/recent.ts'
import { MINUTE, type Ms } from '#shared/units.ts'
import type { World } from '../ports.ts'
import type { RestoreLink } from '../ports/restore-link.ts'
import { createBatcher } from './batcher.ts'

/** PROTOCOL.md, `packs.request`. */
const PACKS_A_REQUEST = 64
/** An address that runs out this soon is not used any more. */
const MARGIN = MINUTE
/** One whose time says that it has run out already: the clocks differ, and the store will say. */
const UNKNOWN_LIFE = MINUTE
/** Addresses remembered: more than the objects that a reader keeps open. */
const REMEMBERED = 2048

type Address = {
  readonly facts: ObjectFacts
  readonly url: string
  /** Monotonic. */
  readonly until: Ms
  readonly sealed: Uint8Array
}

export type Addresses = Pick<Access, 'locate' | 'openPreamble'> & {
  /** The one known for this object; undefined where there is none, or it is about to run out. */
  current(key: string): string | undefined
  /** What is signed of an object that was located. */
  factsOf(key: string): ObjectFacts
}

export type AddressParts = {
  readonly link: RestoreLink
  readonly world: World
  readonly opener: Opener
  /** Hears of an answer that ends the restore, before it is thrown. */
  readonly fatal: (error: unknown) => void
  readonly stop: AbortSignal
}

const broken = (problem: string): Error => fail('PROTOCOL_VIOLATION', { problem })

/** An address comes from outside: what reads it takes only these. */
const checkUrl = (url: string): string => {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol))
    throw broken('the address of an object is none')
  return url
}

const bytesOf = (text: string): Uint8Array => {
  const bytes = parseBase64url(text)
  if (bytes === null) throw broken('a key or header is not base64url')
  return bytes
}

/** In the order of the numbers; null for what is not of this backup, says the control plane. */
const ask = async (
  { link, stop }: Pick<AddressParts, 'link' | 'stop'>,
  packs: readonly PackNo[],
): Promise<readonly (OpenedPack | null)[]> => {
  try {
    const answer = await link.request('packs.request', { packs: [...packs] }, stop)
    if (answer.packs.length !== packs.length || answer.packs.some(({ no }, i) => no !== packs[i]))
      throw broken('the packs are not those that were asked for')
    return answer.packs
  } catch (error) {
    if (!hasCode(error, 'MISSING_OBJECT')) throw error
    // It names the first only: the others are found by asking for fewer.
    if (packs.length === 1) return [null]
    const half = packs.length >> 1
    return [
      ...(await ask({ link, stop }, packs.slice(0, half))),
      ...(await ask({ link, stop }, packs.slice(half))),
    ]
  }
}

export const createAddresses = (parts: AddressParts): Addresses => {
  const { world, opener, fatal } = parts
  const { clock, turn } = world
  const known = createRecent<Address>(REMEMBERED)
  const batcher = createBatcher<PackNo, OpenedPack | null>(
    PACKS_A_REQUEST,
    async (packs) => {
      const distinct = [...new Set(packs)]
      const answers = await ask(parts, distinct).catch((error: unknown) => {
        fatal(error)
        throw error
      })
      const byNo = new Map(distinct.map((no, i) => [no, answers[i] ?? null]))
      return packs.map((no) => byNo.get(no) ?? null)
    },
    turn,
  )
  const untilOf = (expiresAt: Ms): Ms => {
    const life = expiresAt - clock.now() - MARGIN
    return clock.monotonic() + (life > 0 ? life : UNKNOWN_LIFE)
  }
  return {
    locate: async (facts: ObjectFacts): Promise<Located | null> => {
      const opened = await batcher.add(facts.pack)
      if (opened === null) return null
      const url = checkUrl(opened.url)
      const sealed = bytesOf(opened.sealed_file_key)
      known.set(facts.key, { facts, url, until: untilOf(opened.expires_at), sealed })
      return { at: { url }, preamble: bytesOf(opened.header) }
    },
    openPreamble: async (preamble, { pack, key }) => {
      const sealed = known.get(key)?.sealed
      if (sealed === undefined) throw broken('there is no key for an object')
      return Promise.resolve(openWithSealed(opener, { what: pack, sealed }, preamble))
    },
    current: (key) => {
      const address = known.get(key)
      return address !== undefined && clock.monotonic() < address.until ? address.url : undefined
    },
    factsOf: (key) => {
      const address = known.get(key)
      if (address === undefined) throw broken('an object is read before it is located')
      return address.facts
    },
  }
}
