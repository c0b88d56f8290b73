/** Sealers that count what is read from the sources, apart from the agent's own counts. */
import type { Bytes } from '#shared/format/tree-order.ts'
import type { ReadFiles } from '#agent/core/sealing.ts'
import type { Sealers } from '#agent/ports.ts'

export type Reads = { bytes: number; readonly paths: Set<Bytes>; readonly sealers: Sealers }

export const counting = (inner: Sealers): Reads => {
  const reads: Reads = {
    bytes: 0,
    paths: new Set(),
    sealers: {
      width: inner.width,
      start: (setup, onSealed) => {
        const sealing = inner.start(setup, onSealed)
        const count = (paths: readonly Bytes[], files: ReadFiles): void => {
          for (const path of paths) reads.paths.add(path)
          reads.bytes += files.lengths.reduce((sum, length) => sum + length, 0)
        }
        return {
          ...sealing,
          files: async (paths) => {
            const reading = await sealing.files(paths)
            count(paths, reading.files)
            return reading
          },
          window: async (window) => {
            const reading = await sealing.window(window)
            count([window.path], reading.files)
            return reading
          },
        }
      },
    },
  }
  return reads
}
