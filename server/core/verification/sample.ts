/** Which objects a sample holds: a share that depends on a seed and their numbers alone, so that it can be taken up again. */
import { utf8 } from '#shared/format/bytes.ts'
import { sha256 } from '#shared/format/keys.ts'
import type { PackNo } from '#shared/format/locator.ts'
import { GiB } from '#shared/units.ts'

/** A twentieth of the objects, but 16 of few, and not much more than 1 GiB of many. */
const SHARE = 1 / 20
const LEAST_OBJECTS = 16
const MOST_BYTES = GiB

export const sampleShare = ({
  objects,
  bytes,
}: {
  readonly objects: number
  readonly bytes: number
}): number => {
  if (objects === 0 || bytes === 0) return 1
  return Math.min(1, Math.max(SHARE, LEAST_OBJECTS / objects), MOST_BYTES / bytes)
}

const DRAWN = 6

/** Even over [0, 1), and another one for every seed. */
const drawOf = (seed: string, no: PackNo): number =>
  Buffer.from(sha256(utf8(`${seed} ${no}`))).readUIntBE(0, DRAWN) / 2 ** (8 * DRAWN)

export const isInShare = (
  { seed, share }: { readonly seed: string; readonly share: number },
  no: PackNo,
): boolean => share >= 1 || drawOf(seed, no) < share
