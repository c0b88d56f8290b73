/** Where in a file its content goes: pieces follow each other and step over the holes. */
import { fail } from '#shared/errors.ts'

type Hole = readonly [offset: number, length: number]

/** Bytes `[from, from + length)` of a piece belong at `at` in the file. */
export type Run = { readonly at: number; readonly from: number; readonly length: number }

export type Layout = {
  /** Where the next piece, of `length` bytes, goes: several runs where holes lie within. `DAMAGED` where it does not fit. */
  next(length: number): readonly Run[]
  /** `DAMAGED` unless content and holes have filled the file exactly. */
  end(): void
}

/** `holes` ascending, disjoint and within the file, as `decodeEntry` guarantees. */
export const createLayout = (size: number, holes: readonly Hole[]): Layout => {
  let at = 0
  let hole = 0
  /** Room up to the next hole, after stepping over the one that begins here. */
  const room = (): number => {
    for (let next = holes[hole]; next?.[0] === at; next = holes[hole]) {
      at += next[1]
      hole += 1
    }
    return (holes[hole]?.[0] ?? size) - at
  }
  return {
    next: (length) => {
      const runs: Run[] = []
      for (let from = 0; from < length;) {
        const take = Math.min(length - from, room())
        if (take <= 0) throw damaged('it has more content than it is long')
        runs.push({ at, from, length: take })
        at += take
        from += take
      }
      return runs
    },
    end: () => {
      if (room() !== 0) throw damaged('its content is not as long as it should be')
    },
  }
}

const damaged = (problem: string): Error =>
  fail('DAMAGED', { what: 'The content of a file', problem })
