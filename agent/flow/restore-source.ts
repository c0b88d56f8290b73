/** The objects of a restore, read from addresses that the control plane signs. */
import { fail, hasCode } from '#shared/errors.ts'
import type { Access, ObjectFacts, Whereabouts } from '#shared/read/access.ts'
import { createObjectReader, type ObjectReader, segmentIn, twice } from '#shared/read/object.ts'
import { MiB } from '#shared/units.ts'
import type { Again } from '../core/restore-job.ts'
import { createShelf } from '../core/restore-shelf.ts'
import { createBlocks } from './restore-blocks.ts'
import type { Addresses } from './restore-addresses.ts'
import type { Reading, Renew } from './restore-reading.ts'

export type Source = {
  readonly objects: ObjectReader
  /** What a thread that cannot read an object does about it. */
  readonly again: (facts: ObjectFacts) => Again
}

/** Parts of the tree that are looked at more than once: the selection is walked before it is restored. */
const SHELF = 8 * MiB

type Parts = {
  readonly vault: string
  readonly addresses: Addresses
  readonly reading: Reading
  /** Ends the restore: without the tree nobody knows what there is. */
  readonly giveUp: (error: unknown) => void
}

/** Another address where this one will not do or ran out, unless somebody else has got one already. */
const renewing =
  (addresses: Addresses, facts: ObjectFacts): Renew =>
  async (failed, anew) => {
    const current = addresses.current(facts.key)
    const isNew = !('url' in failed) || failed.url !== current
    if (current !== undefined && (isNew || !anew)) return { url: current }
    const located = await addresses.locate(facts)
    if (located === null) throw fail('MISSING_OBJECT', { key: facts.key })
    return located.at
  }

const NOWHERE: Whereabouts = { url: '' }

const accessOf = ({ addresses, reading }: Parts): Access => ({
  locate: async (facts) => addresses.locate(facts),
  openPreamble: async (preamble, facts) => addresses.openPreamble(preamble, facts),
  read: async (key, start, end) => {
    const facts = addresses.factsOf(key)
    const renew = renewing(addresses, facts)
    return reading.read({ key, start, end }, await renew(NOWHERE, false), renew)
  },
})

export const createSource = (parts: Parts): Source => {
  const { vault, addresses, reading, giveUp } = parts
  const access = accessOf(parts)
  const reader = createObjectReader({ vault, access })
  const shelf = createShelf(SHELF)
  const blocks = createBlocks(async ({ key }, start, end) => access.read(key, start, end))
  const readSegment: ObjectReader['segment'] = async (facts, locator) => {
    const [, start, length] = locator
    const object = await reader.open(facts)
    return twice(async () => segmentIn(await blocks.plain(object, start, start + length), locator))
  }
  return {
    objects: {
      ...reader,
      open: async (facts) => {
        const object = await reader.open(facts)
        return { ...object, at: await renewing(addresses, facts)(NOWHERE, false) }
      },
      segment: async (facts, locator) => {
        const known = shelf.get(locator[5])
        if (known !== undefined) return known
        try {
          const bytes = await readSegment(facts, locator)
          shelf.put(locator[5], bytes)
          return bytes
        } catch (error) {
          if (hasCode(error, 'STORAGE_UNAVAILABLE')) giveUp(error)
          throw error
        }
      },
    },
    again: (facts) => reading.tries(renewing(addresses, facts)),
  }
}
