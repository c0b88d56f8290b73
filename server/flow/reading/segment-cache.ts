/**
 * Segments of trees that were read lately, of all backups together: neighbours in time share nearly all of theirs. By
 * vault and hash: a record of one vault can never bring what another one holds.
 */
import type { ObjectReader } from '#shared/read/object.ts'
import { MiB } from '#shared/units.ts'

export type SegmentCache = {
  /** The same reader, that asks here first. */
  over(vault: string, objects: ObjectReader): ObjectReader
}

const MOST_BYTES = 64 * MiB

export const createSegmentCache = (most = MOST_BYTES): SegmentCache => {
  const held = new Map<string, Uint8Array>()
  let bytes = 0
  const drop = (name: string): void => {
    bytes -= held.get(name)?.length ?? 0
    held.delete(name)
  }
  const keep = (name: string, segment: Uint8Array): void => {
    drop(name)
    held.set(name, segment)
    bytes += segment.length
    for (const oldest of held.keys()) {
      if (bytes <= most) return
      drop(oldest)
    }
  }
  return {
    over: (vault, objects) => ({
      ...objects,
      segment: async (facts, locator) => {
        const name = `${vault}/${locator[5]}/${String(locator[4])}`
        const known = held.get(name)
        // A copy: a view into a frame would keep all of the frame.
        const segment = known ?? new Uint8Array(await objects.segment(facts, locator))
        keep(name, segment)
        return segment
      },
    }),
  }
}
