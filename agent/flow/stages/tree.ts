/** Entries in order → the segments of the tree, where each lies, and the local tree of this run. */
import type { Fenced } from '#shared/format/fence.ts'
import type { Locator } from '#shared/format/locator.ts'
import { createSegmenter, type Segment } from '#shared/format/segment.ts'
import { encodeFrame } from '#shared/format/zstd.ts'
import {
  advance,
  BLOCK,
  createBlockWriter,
  cursorOf,
  isWholeBlock,
  type Run,
  storedLineAt,
} from '../../core/local-tree.ts'
import type { BlockSink } from '../../ports.ts'
import type { Crew } from '../crew.ts'
import type { Sink } from './line-up.ts'
import type { Segments } from './segments.ts'

export type TreeStage = Sink & {
  /** After the last entry: where all segments lie. The local tree is written, not yet finished. */
  end(): Promise<readonly Fenced<Locator>[]>
}

type Parts = {
  readonly segmentKey: Uint8Array
  readonly segments: Segments
  readonly crew: Crew
  readonly local: BlockSink
}

/** Speed counts here, not size: these blocks never leave the machine. */
const LOCAL_EFFORT = { level: 1 }
/** What is smaller does not become a block of its own. */
const SMALL = BLOCK / 4

export const createTreeStage = ({ segmentKey, segments, crew, local }: Parts): TreeStage => {
  const segmenter = createSegmenter(segmentKey)
  const writer = createBlockWriter()
  const fence: { first: Segment['first']; locator: Locator | null }[] = []
  const place = (complete: readonly Segment[]): void => {
    for (const { bytes, sha256, first } of complete) {
      const post: (typeof fence)[number] = { first, locator: null }
      fence.push(post)
      crew.run(async () => {
        post.locator = await segments.put({ bytes, sha256 })
      })
    }
  }
  const spill = (least: number): void => {
    if (writer.size > least) local.write(encodeFrame(writer.take(), LOCAL_EFFORT))
  }
  /** A whole block is kept as it is packed, unless what waits before it would become a tiny block. */
  const keep = (run: Run): void => {
    if (isWholeBlock(run) && (writer.size === 0 || writer.size >= SMALL)) {
      spill(0)
      local.write(run.block.packed)
      return
    }
    writer.copy(run)
    spill(BLOCK)
  }
  return {
    entry: (entry) => {
      place(segmenter.push(entry.dir, entry.name, entry.line))
      writer.append(entry)
      spill(BLOCK)
    },
    run: (run) => {
      const cursor = cursorOf(run)
      advance(cursor)
      while (cursor.valid) {
        place(segmenter.push(cursor.dir, cursor.name, storedLineAt(cursor)))
        advance(cursor)
      }
      keep(run)
    },
    end: async () => {
      place(segmenter.end())
      spill(0)
      await crew.settle()
      return fence.map(({ first, locator }) => {
        if (locator === null) throw new RangeError('a segment has no place')
        return { first, locator }
      })
    },
  }
}
