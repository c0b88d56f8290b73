import type { Sealing } from '../ports.ts'

/** Starts the sealing threads when the first of them is needed: a run that changed nothing needs none. */
export const lazily = (start: () => Sealing): Sealing => {
  let started: Sealing | null = null
  const get = (): Sealing => (started ??= start())
  return {
    files: async (paths) => await get().files(paths),
    window: async (window) => await get().window(window),
    segments: async (segments, numbers) => await get().segments(segments, numbers),
    flush: async (kind) => await started?.flush(kind),
    close: async () => await started?.close(),
  }
}
