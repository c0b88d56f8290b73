/** Waits until some of `most` bytes may go, and says how many; all of them where there is no limit. */
export type Throttle = (most: number, stop: AbortSignal) => Promise<number>

/** Both directions of this machine's line, whoever uses it. */
export type Throttles = { readonly upload: Throttle; readonly download: Throttle }
