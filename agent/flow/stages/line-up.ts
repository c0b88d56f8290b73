/**
 * Keeps tree order: entries are announced as the walk meets them and go on in that order, however late the content of
 * one of them finds its place. A bounded number waits.
 */
import type { Cursor, LocalEntry, Run } from '../../core/local-tree.ts'
import { createGate } from '../gate.ts'

export type Sink = {
  entry(entry: LocalEntry): void
  run(run: Run): void
}

/** Fills the place kept for an entry; null leaves the entry out. */
export type Fill = (entry: LocalEntry | null) => void

export type LineUp = {
  unchanged(cursor: Cursor): void
  entry(entry: LocalEntry): void
  reserve(): Fill
  /** Whether the walk must wait. */
  readonly full: boolean
  room(): Promise<void>
}

type RunPlace = { readonly kind: 'run' } & { -readonly [K in keyof Run]: Run[K] }
type Place = RunPlace | { readonly kind: 'entry'; entry: LocalEntry | null; filled: boolean }

/** Places in memory: runs of unchanged entries count as one. */
const MOST = 16_384

export const createLineUp = (sink: Sink, stop: AbortSignal): LineUp => {
  const gate = createGate(MOST)
  stop.addEventListener('abort', () => gate.break(stop.reason))
  let places: Place[] = []
  let head = 0
  const advance = (): void => {
    for (let place = places[head]; place !== undefined; place = places[head]) {
      if (place.kind === 'run') sink.run(place)
      else if (!place.filled) break
      else if (place.entry !== null) sink.entry(place.entry)
      head += 1
      gate.leave()
    }
    // The front is dropped in large steps: shifting single places would copy the rest each time.
    if (head > 4096 || head === places.length) {
      places = places.slice(head)
      head = 0
    }
  }
  const add = (place: Place): void => {
    places.push(place)
    gate.take()
  }
  return {
    unchanged: (cursor) => {
      const last = places.at(-1)
      if (last?.kind === 'run' && cursor.follows(last)) {
        last.to = cursor.to
        last.endDir = cursor.dir
        return
      }
      advance()
      const { block, from, to, dir } = cursor
      add({ kind: 'run', block, from, to, dir, endDir: dir })
    },
    entry: (entry) => {
      advance()
      if (places.length === 0) sink.entry(entry)
      else add({ kind: 'entry', entry, filled: true })
    },
    reserve: () => {
      const place: Place = { kind: 'entry', entry: null, filled: false }
      add(place)
      return (entry) => {
        place.entry = entry
        place.filled = true
        advance()
      }
    },
    get full() {
      return gate.used >= MOST
    },
    room: async () => {
      advance()
      await gate.room()
    },
  }
}
