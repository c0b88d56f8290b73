/** How whoever reads a vault gets at its objects: from a folder, by URLs, or as a control plane hands them out. */
import type { PackRow } from '../format/pack-table.ts'
import type { ObjectKey } from '../store.ts'

/** Where the bytes of an object can be read, by any thread. */
export type Whereabouts = { readonly file: string } | { readonly url: string }

/** What the signed record says of an object, directly or through fence and pack table. */
export type ObjectFacts = Pick<PackRow, 'pack' | 'key' | 'size' | 'headerHash'>

/** An object whose age header has been opened. `size` is the signed one, not what the store says. */
export type OpenedObject = {
  readonly at: Whereabouts
  readonly key: string
  readonly payloadKey: Uint8Array
  readonly preambleLength: number
  readonly size: number
}

/**
 * `preamble`: age header and payload nonce, where whoever says the place knows them already; they are checked against
 * the signed hash like those that are read.
 */
export type Located = { readonly at: Whereabouts; readonly preamble?: Uint8Array }

/** Key of the payload and length of header and nonce. */
export type OpenedPreamble = { readonly key: Uint8Array; readonly length: number }

/**
 * Reading gives exactly the bytes asked for or throws: `MISSING_OBJECT` when there is no such object, `DAMAGED` when it
 * ends before them, `SOURCE_UNREADABLE` or `STORAGE_UNAVAILABLE` when the world failed, after trying again where that
 * can help.
 */
export type Access = {
  read(key: ObjectKey, start: number, end: number): Promise<Uint8Array>
  /** Null when the object is not there. */
  locate(facts: ObjectFacts): Promise<Located | null>
  /** `WRONG_KEY` or `DAMAGED`. `preamble` may be followed by other bytes. */
  openPreamble(preamble: Uint8Array, facts: ObjectFacts): Promise<OpenedPreamble>
}
