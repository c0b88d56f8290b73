/** Tables that fit 80 columns: the widest column that may give way is cut, never wrapped. */
import Table from 'cli-table3'
import { UNSAFE } from './shown.ts'
import { formatBytes } from './units.ts'

export type Column = {
  readonly head: string
  readonly right?: boolean
  /** May be cut where the table would be too wide; at least this many characters stay. */
  readonly least?: number
}

const GAP = 2
const NONE = ''
const BARE = {
  top: NONE,
  'top-mid': NONE,
  'top-left': NONE,
  'top-right': NONE,
  bottom: NONE,
  'bottom-mid': NONE,
  'bottom-left': NONE,
  'bottom-right': NONE,
  left: NONE,
  'left-mid': NONE,
  mid: NONE,
  'mid-mid': NONE,
  right: NONE,
  'right-mid': NONE,
  middle: ' '.repeat(GAP),
}

/** Names are somebody else's words: control characters in them must not reach a terminal. */
export const plain = (text: string): string => text.replace(UNSAFE, '\ufffd')

/** Cut to this many characters. */
export const clip = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(1, width) - 1)}…`

const widthsOf = (
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  most: number,
): number[] => {
  const widths = columns.map((column, i) =>
    Math.max(column.head.length, ...rows.map((row) => row[i]?.length ?? 0)),
  )
  const total = (): number => widths.reduce((sum, width) => sum + width, GAP * (widths.length - 1))
  while (total() > most) {
    const loose = columns
      .map(({ least }, i) => ({ i, spare: least === undefined ? 0 : (widths[i] ?? 0) - least }))
      .reduce((best, one) => (one.spare > best.spare ? one : best), { i: -1, spare: 0 })
    if (loose.spare <= 0) break
    widths[loose.i] = (widths[loose.i] ?? 0) - Math.min(loose.spare, total() - most)
  }
  return widths
}

/** Lines without spaces at their ends. */
export const tableLines = (
  columns: readonly Column[],
  cells: readonly (readonly string[])[],
  most = 80,
): readonly string[] => {
  const rows = cells.map((row) => row.map(plain))
  const widths = widthsOf(columns, rows, most)
  const table = new Table({
    head: columns.map(({ head }) => head),
    chars: BARE,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colWidths: widths,
    colAligns: columns.map(({ right }) => (right === true ? 'right' : 'left')),
  })
  for (const row of rows) table.push(row.map((cell, i) => clip(cell, widths[i] ?? cell.length)))
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
}

/** `2026-11-21 13:05` in the zone of whoever reads. */
export const localTime = (iso: string | null): string => {
  if (iso === null) return '-'
  const time = new Date(iso)
  const two = (n: number): string => String(n).padStart(2, '0')
  const day = `${String(time.getFullYear())}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}`
}

export const size = (bytes: number | null): string => (bytes === null ? '-' : formatBytes(bytes))
