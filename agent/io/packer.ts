/** The open pack of one thread and kind: takes frames, and is sealed when full. */
import { fail } from '#shared/errors.ts'
import { frameOf } from '#shared/format/frame.ts'
import { parseRecipient } from '#shared/format/keys.ts'
import { createPackWriter, type PackWriter, type Piece } from '#shared/format/pack.ts'
import type { Random } from '#shared/world.ts'
import { sealObject } from '../core/seal-object.ts'
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

export const createPacker = (
  kind: 'pack' | 'tree',
  setup: SealingSetup,
  world: WorkWorld,
): Packer => {
  const recipients = setup[kind].map(parseRecipient)
  let writer: PackWriter | null = null
  let no = 0
  const flush = (): void => {
    if (writer === null || no === 0) return
    const sealed = sealObject(writer.finish(), recipients, world.random)
    world.onSealed({ kind, no, ...sealed })
    writer.reset()
    no = 0
  }
  return {
    append: (content, pieces, numbers) => {
      // The writer's memory is taken only by threads that write packs of this kind.
      writer ??= createPackWriter({ target: setup.packBytes })
      if (no === 0) no = numbers.shift() ?? 0
      if (no === 0) throw fail('INTERNAL_AGENT', { problem: 'no pack number was at hand' })
      const frame = frameOf(content)
      const place: [number, number, number] = [no, writer.add(frame, pieces), frame.length]
      if (writer.full) flush()
      return place
    },
    flush,
  }
}
