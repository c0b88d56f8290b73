/**
 * How the journal of finished files is sealed (decision 15). Each record begins with a tag over itself and the tag before
 * it, so that whatever is torn, damaged, out of place or of something else ends the journal where it begins.
 */
import { createHmac, hkdfSync } from 'node:crypto'
import { equalBytes, view } from '#shared/format/bytes.ts'
import type { Bytes } from '#shared/format/tree-order.ts'

/** What a journal belongs to: with any of these different no tag of it matches. */
export type Ties = {
  readonly idKey: Uint8Array
  readonly vault: string
  readonly job: string
  /** Paths of the sources; what is left out below them makes no difference to a file that was read. */
  readonly roots: readonly Bytes[]
  readonly catalogEpoch: number
}

export const journalKey = ({ idKey, vault, job, roots, catalogEpoch }: Ties): Uint8Array => {
  const ties = JSON.stringify([vault, job, [...roots].sort(), catalogEpoch])
  const key = new Uint8Array(hkdfSync('sha256', idKey, '', 'holdfast journal 1', 32))
  return createHmac('sha256', key).update(ties).digest()
}

export const TAG_BYTES = 16

export type Chain = {
  seal(content: Uint8Array): Uint8Array
  /** The content of the next record; null where it is not that. */
  open(record: Uint8Array): Uint8Array | null
}

/** The records of one journal in order; for writing or for reading, from the first on. */
export const createChain = (key: Uint8Array): Chain => {
  let last: Uint8Array = new Uint8Array(TAG_BYTES)
  const tagOf = (content: Uint8Array): Uint8Array =>
    createHmac('sha256', key).update(last).update(content).digest().subarray(0, TAG_BYTES)
  return {
    seal: (content) => {
      last = tagOf(content)
      return Buffer.concat([last, content])
    },
    open: (record) => {
      const content = record.subarray(TAG_BYTES)
      const tag = tagOf(content)
      if (!equalBytes(tag, record.subarray(0, TAG_BYTES))) return null
      last = tag
      return content
    },
  }
}

/** First record: the gc_epoch that the run was told of deletions up to. */
export const encodeHead = (gcEpoch: number): Uint8Array => {
  const head = Buffer.alloc(8)
  head.writeDoubleLE(gcEpoch)
  return head
}

/** NaN for what is no head. */
export const headEpoch = (head: Uint8Array): number =>
  head.length === 8 ? view(head).readDoubleLE(0) : Number.NaN
