/** A key below a storage's bucket, already checked by `shared/format/layout.ts`. */
export type ObjectKey = string

/** Half-open byte range `[start, end)`; `end` may be left out for "to the end". */
export type ByteRange = { readonly start: number; readonly end?: number }

export type StoredObject = { readonly size: number; readonly etag: string }

/**
 * Reading an object store. Any implementation must: answer `null` for an object that is not there and throw
 * for one that is there but cannot be read; give exactly the bytes of the range, or throw.
 * `test/contract/object-store.ts` checks these sentences on every implementation.
 */
export type ReadStore = {
  head(key: ObjectKey, stop: AbortSignal): Promise<StoredObject | null>
  get(key: ObjectKey, range: ByteRange, stop: AbortSignal): Promise<Uint8Array | null>
  /** Every key that starts with `prefix`, in byte order, page by page. */
  list(prefix: string, stop: AbortSignal): AsyncIterable<ObjectKey>
}

/** Writing one: readable at once after it returns, never half of an object, never replacing one when `ifAbsent`. */
export type WriteStore = {
  put(
    key: ObjectKey,
    body: Uint8Array,
    how: { readonly ifAbsent: boolean },
    stop: AbortSignal,
  ): Promise<{ readonly etag: string } | 'exists'>
}

export type DeleteStore = {
  remove(keys: readonly ObjectKey[], stop: AbortSignal): Promise<void>
}
