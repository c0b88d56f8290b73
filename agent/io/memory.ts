/** Bounds on what the allocators keep for themselves. */
import { setFlagsFromString } from 'node:v8'
import { MiB } from '#shared/units.ts'
import { libraryCall } from './native.ts'

/**
 * V8's nursery stays at its first size: left alone it grows to 48 MiB and more for garbage that dies at once. What has grown
 * old may grow by half before it is looked through, not to several times its size: 20 MiB less on 26,000 small files, for
 * some 8 % more CPU time.
 */
const HEAP = ['--semi-space-growth-factor=1', '--heap-growing-percent=50']

/** Parameters of mallopt(3). */
const M_TRIM_THRESHOLD = -1
const M_MMAP_THRESHOLD = -3
const M_ARENA_MAX = -8
/** What is larger is mapped by itself, and gone from memory as soon as it is freed. */
const MAPPED = 2 * MiB
/** Kept at the end of an arena: what compressing one frame takes, so that it is not mapped anew for each. */
const KEPT = 8 * MiB
const ARENAS = 2

/**
 * Left alone, glibc takes from the first large buffer that is freed that such buffers belong into its arenas, of which each
 * thread gets one, and what is freed there stays: 123 MiB after a backup. Other C libraries keep nothing, and have no
 * such call.
 */
const boundArenas = (): void => {
  const mallopt = libraryCall('int mallopt(int parameter, int value)')
  if (mallopt === null) return
  mallopt(M_ARENA_MAX, ARENAS)
  mallopt(M_MMAP_THRESHOLD, MAPPED)
  mallopt(M_TRIM_THRESHOLD, KEPT)
}

/** Before the first thread starts: both count for what begins after it. */
export const boundMemory = (): void => {
  for (const flag of HEAP) setFlagsFromString(flag)
  boundArenas()
}
