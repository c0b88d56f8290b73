/**
 * Keeps tree order: entries are announced as the walk meets them and go on in that order, however late the content of
 * one of them finds its place. A bounded number waits.
 */
import { follows, type Cursor, type LocalEntry, type Run } from '../../core/local-tree.ts'
import { createGate, type Gate } from '../gate.ts'

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
  /** Everything has gone on; a place that was never filled is a mistake of ours, and must not become a missing file. */
  end(): void
}

type RunPlace = { readonly kind: 'run' } & { -readonly [K in keyof Run]: Run[K] }
type Place = RunPlace | { readonly kind: 'entry'; entry: LocalEntry | null; filled: boolean }

/** Places in memory: runs of unchanged entries count as one. As many as two threads have files to read before them. */
const MOST = 2048

type Line = { places: Place[]; head: number }

/** Places of the front that are dropped together: shifting single ones would copy the rest each time. */
const DROP = 1024

/** Hands on whatever stands at the head and is filled. */
const advance = (line: Line, sink: Sink, gate: Gate): void => {
  for (let place = line.places[line.head]; place !== undefined; place = line.places[line.head]) {
    if (place.kind === 'run') sink.run(place)
    else if (!place.filled) break
    else if (place.entry !== null) sink.entry(place.entry)
    line.head += 1
    gate.leave()
  }
  if (line.head <= DROP && line.head < line.places.length) return
  line.places = line.places.slice(line.head)
  line.head = 0
}

export const createLineUp = (sink: Sink, stop: AbortSignal): LineUp => {
  const gate = createGate(MOST)
  stop.addEventListener('abort', () => gate.break(stop.reason))
  const line: Line = { places: [], head: 0 }
  const move = (): void => advance(line, sink, gate)
  const add = (place: Place): void => {
    line.places.push(place)
    gate.take()
  }
  return {
    unchanged: (cursor) => {
      const last = line.places.at(-1)
      if (last?.kind === 'run' && follows(cursor, last)) {
        last.to = cursor.to
        last.endDir = cursor.dir
        return
      }
      move()
      const { block, from, to, dir } = cursor
      add({ kind: 'run', block, from, to, dir, endDir: dir })
    },
    entry: (entry) => {
      move()
      if (line.places.length === 0) sink.entry(entry)
      else add({ kind: 'entry', entry, filled: true })
    },
    reserve: () => {
      const place: Place = { kind: 'entry', entry: null, filled: false }
      add(place)
      return (entry) => {
        place.entry = entry
        place.filled = true
        move()
      }
    },
    get full() {
      return gate.used >= MOST
    },
    room: async () => {
      move()
      await gate.room()
    },
    end: () => {
      move()
      if (line.places.length > 0) throw new RangeError('an entry was announced and never came')
    },
  }
}
