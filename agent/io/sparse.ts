/** Where the holes of an open file are, as the file system tells (SEEK_DATA, SEEK_HOLE). */
import { gatherHoles, type Hole, NO_HOLES } from '../core/sparse.ts'
import type { Native } from '../ports/native.ts'

const BLOCK = 512n

/** Whether fewer bytes are taken on disk than the file is long: only then are holes looked for. */
export const mayHaveHoles = (stat: { readonly blocks: bigint; readonly size: bigint }): boolean =>
  stat.blocks * BLOCK < stat.size

/** Of the first `size` bytes. A file system that knows of no holes has one run of data. */
export const holesIn = (native: Native, fd: number, size: number): readonly Hole[] => {
  const holes = gatherHoles()
  for (let at = 0; at < size;) {
    const data = native.nextData(fd, at)
    const end = data < 0 ? size : Math.min(data, size)
    if (end > at) holes.add(at, end - at)
    if (end >= size) break
    const hole = native.nextHole(fd, end)
    // One that shrinks meanwhile has no more of either.
    if (hole < 0) break
    at = hole
  }
  return holes.take()
}

/** None where that cannot be found out: then they are read as zeros. */
export const holesOf = (
  native: Native | null,
  fd: number,
  stat: { readonly blocks: bigint; readonly size: bigint },
): readonly Hole[] => {
  if (native === null || !mayHaveHoles(stat)) return NO_HOLES
  try {
    return holesIn(native, fd, Number(stat.size))
  } catch {
    // Not every file system takes the question; reading says what is wrong with others.
    return NO_HOLES
  }
}
