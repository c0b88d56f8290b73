/** Files that are read part by part. */
import { OUTCOME, type ReadFiles } from '../../core/sealing.ts'
import type { Hole } from '../../core/sparse.ts'
import type { Exact, Fault } from '../../core/stat.ts'
import type { Reading } from '../../ports.ts'
import { createAssembly, type Assembly } from './content.ts'
import {
  claim,
  type Doubt,
  faultAt,
  type FileRead,
  NOT_A_FILE,
  type OnPlace,
  readOf,
  RESTLESS,
  settle,
  type Stage,
  type Wanted,
} from './place.ts'

type Parts = Pick<FileRead, 'exact' | 'readAt' | 'attributes'> & {
  moving: boolean
  doubt: Doubt | null
  /** Fewer where the file has become shorter. */
  holes: readonly Hole[]
}

const sameFile = (a: Exact, b: Exact): boolean => a.dev === b.dev && a.ino === b.ino

const isUntouched = (a: Exact, b: Exact): boolean =>
  a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs

/** Takes up one part of a large file; a fault where it is another file by now. */
const takePart = (parts: Parts | null, files: ReadFiles): Parts | Fault => {
  const outcome = files.outcomes[0]
  if (outcome === OUTCOME.fault) return faultAt(files, 0)
  if (outcome === OUTCOME.later) return NOT_A_FILE
  const now = readOf(files, 0)
  if (parts === null) return { ...now }
  if (!sameFile(parts.exact, now.exact))
    return { ...RESTLESS, problem: 'it was replaced while it was read' }
  const moved = now.moving || !isUntouched(parts.exact, now.exact)
  parts.moving ||= moved
  parts.holes = now.holes
  // Bytes appended behind what is read leave it whole; anything else may have mixed old and new.
  if (moved && now.exact.size <= parts.exact.size) parts.doubt ??= now.doubt ?? 'SOURCE_CHANGED'
  return parts
}

/** Part by part: while one is compressed and sealed, the next is read. Reads no further than the file's first size. */
export const readLarge = async (stage: Stage, file: Wanted): Promise<void> => {
  const { sealing, crew, uploads, gate, tally, segments } = stage
  const assembly: Assembly = createAssembly(segments, crew)
  let parts: Parts | null = null
  for (let from = 0; from >= 0;) {
    await uploads.room()
    await gate.enter()
    let reading: Reading
    try {
      const window = { limit: parts?.exact.size ?? -1, holes: parts?.holes ?? null }
      reading = await sealing.window({ path: file.path, from, ...window })
    } catch (error) {
      gate.leave()
      throw error
    }
    const { files } = reading
    const taken = takePart(parts, files)
    const fresh =
      'fault' in taken
        ? new Uint8Array(files.lengths.length)
        : claim(stage, files, () => placer(assembly))
    if (!('fault' in taken)) tally.bytesRead += files.lengths.reduce((sum, n) => sum + n, 0)
    crew.run(async () => {
      try {
        await settle(stage, reading, fresh)
      } finally {
        gate.leave()
      }
    })
    if ('fault' in taken) {
      file.failed(taken)
      return
    }
    parts = taken
    from = files.next
  }
  const read = parts
  if (read !== null) assembly.finish((content) => file.done({ ...read, file: content }))
}

const placer = (assembly: Assembly): OnPlace => {
  const index = assembly.expect()
  return (locator) => assembly.place(index, locator)
}
