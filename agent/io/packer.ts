/** The open pack of one thread and kind: takes frames, which are sealed as they come, and is handed out when full. */
import { fail } from '#shared/errors.ts'
import { release } from '#shared/format/bytes.ts'
import { encodeFrame, frameOf } from '#shared/format/frame.ts'
import { parseRecipient } from '#shared/format/keys.ts'
import { createPackWriter, type PackWriter, type Piece } from '#shared/format/pack.ts'
import { MiB } from '#shared/units.ts'
import type { Random } from '#shared/world.ts'
import { beginObject, type OpenObject } from '../core/seal-object.ts'
import type { Sealed } from '../core/sealing.ts'
import type { SealingSetup } from '../ports.ts'
import type { Native } from '../ports/native.ts'

export type WorkWorld = {
  readonly random: Random
  readonly now: () => number
  /** What sees attributes and holes; null where nothing does. */
  readonly native: () => Native | null
  readonly onSealed: (sealed: Sealed) => void
}

export type Packer = {
  /** Appends one frame over `content`; answers pack number, frame offset and frame length. */
  append(content: Uint8Array, pieces: readonly Piece[], numbers: number[]): [number, number, number]
  flush(): void
}

type Open = { readonly no: number; readonly writer: PackWriter; readonly object: OpenObject }

/**
 * Beyond the target: the last frame, the index, tags and padding of nearly every pack; one that has more is moved. Only
 * what is written to becomes real, but the collector of garbage counts all of it, and comes sooner.
 */
const roomFor = (target: number): number => Math.ceil(1.03 * (target + 4 * MiB))

export const createPacker = (
  kind: 'pack' | 'tree',
  setup: SealingSetup,
  world: WorkWorld,
): Packer => {
  const recipients = setup[kind].map(parseRecipient)
  let open: Open | null = null
  const begin = (no: number): Open => {
    const memory = Buffer.allocUnsafeSlow(roomFor(setup.packBytes))
    const object = beginObject(recipients, world.random, memory)
    return { no, object, writer: createPackWriter(object.write, setup.packBytes) }
  }
  const flush = (): void => {
    if (open === null) return
    const { no, object, writer } = open
    open = null
    writer.finish()
    world.onSealed({ kind, no, ...object.finish() })
  }
  return {
    append: (content, pieces, numbers) => {
      if (open === null) {
        const no = numbers.shift()
        if (no === undefined)
          throw fail('INTERNAL_AGENT', { problem: 'no pack number was at hand' })
        open = begin(no)
      }
      const { no, writer } = open
      const frame = kind === 'pack' ? frameOf(content) : encodeFrame(content)
      const place: [number, number, number] = [no, writer.add(frame, pieces), frame.length]
      release(frame)
      if (writer.full) flush()
      return place
    },
    flush,
  }
}
