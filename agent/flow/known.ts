/**
 * What a vault holds, as this agent knows it. Two files beside each other: `packs`, one line for every confirmed pack,
 * and `blobs`, one record for every id. Only ids of packs in `packs` count, so whatever a crash leaves in `blobs` of
 * packs that were never confirmed means nothing (FORMAT.md, "Commit": a commit references stored packs only).
 */
import { crc32 } from 'node:zlib'
import type { FullLocator, Locator, PackNo } from '#shared/format/locator.ts'
import type { PackRow } from '#shared/format/pack-table.ts'
import { fail } from '#shared/errors.ts'
import { parser, Type } from '#shared/schema.ts'
import {
  createTable,
  encodeRecord,
  idBytes,
  RECORD_BYTES,
  recordHasId,
  recordIsIntact,
  recordLocator,
  recordPack,
  type Place,
  type Table,
} from '../core/dedup.ts'
import type { RecordFile, StateFolder } from '../ports.ts'

export type Known = {
  /** Where the id at `ids[at]` lies in a pack that this run may use; null when it is new to the vault. */
  locate(ids: Uint8Array, at: number): Locator | null
  locateId(id: string): Locator | null
  /** An id that this run has put into a pack; it counts for later runs once the pack is confirmed. */
  add(ids: Uint8Array, at: number, place: Place): void
  /** The pack is stored, says the control plane. */
  confirm(rows: readonly PackRow[]): void
  row(pack: PackNo): PackRow | undefined
  full(locator: Locator): FullLocator
  /** These packs are gone, and with them everything that lies in them. */
  forget(packs: ReadonlySet<PackNo>): void
  readonly ids: number
  /** The highest number of a pack that this folder has ever heard of, in the vault's files; 0 of none. */
  readonly highest: PackNo
  close(): void
}

const parseRow = parser(
  Type.Tuple([
    Type.Integer(),
    Type.String(),
    Type.Integer(),
    Type.String(),
    Type.String(),
    Type.Integer(),
  ]),
)

const checkOf = ({ pack, key, size, sha256, headerHash }: PackRow): number =>
  crc32([pack, key, size, sha256, headerHash].join(' '))

/** With a check: what stands here goes into the signed pack table, and is all that finds the pack again. */
const rowLine = (row: PackRow): string =>
  JSON.stringify([row.pack, row.key, row.size, row.sha256, row.headerHash, checkOf(row)])

const readLine = (line: string): PackRow | null => {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return null
  }
  const parsed = parseRow(value)
  if (!('ok' in parsed)) return null
  const [pack, key, size, sha256, headerHash, check] = parsed.ok
  const row = { pack, key, size, sha256, headerHash }
  return check === checkOf(row) ? row : null
}

const loadRows = (state: StateFolder, path: string): Map<PackNo, PackRow> => {
  const rows = new Map<PackNo, PackRow>()
  const bytes = state.read(path)
  if (bytes === null) return rows
  for (const line of Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString()
    .split('\n')) {
    const row = readLine(line)
    if (row !== null) rows.set(row.pack, row)
  }
  return rows
}

const saveRows = (state: StateFolder, path: string, rows: ReadonlyMap<PackNo, PackRow>): void => {
  const lines = [...rows.values()].map((row) => `${rowLine(row)}\n`)
  state.replace(path, Buffer.from(lines.join('')))
}

/** More dead records than this share are worth writing the file anew. */
const MOST_DEAD = 0.25

type Filled = { readonly dead: number; readonly highest: PackNo }

/** Fills the table with what lies in packs that are there; answers how many records do not, and the highest pack of any. */
const fillTable = (table: Table, file: RecordFile, rows: ReadonlyMap<PackNo, PackRow>): Filled => {
  let dead = 0
  let highest = 0
  table.clear()
  file.scan((records, first) => {
    const count = records.length / RECORD_BYTES
    for (let i = 0; i < count; i += 1) {
      const at = i * RECORD_BYTES
      const pack = recordPack(records, at)
      if (pack > highest && recordIsIntact(records.subarray(at, at + RECORD_BYTES))) highest = pack
      if (rows.has(pack)) table.add(records, at, first + i)
      else dead += 1
    }
  })
  return { dead, highest }
}

const compact = (state: StateFolder, path: string, rows: ReadonlyMap<PackNo, PackRow>): void => {
  const fresh = `${path}.new`
  state.remove(fresh)
  const from = state.records(path, RECORD_BYTES)
  const to = state.records(fresh, RECORD_BYTES)
  try {
    from.scan((records) => {
      for (let at = 0; at < records.length; at += RECORD_BYTES) {
        const record = records.subarray(at, at + RECORD_BYTES)
        if (rows.has(recordPack(record))) to.append(record)
      }
    })
    to.flush()
  } finally {
    from.close()
    to.close()
  }
  state.rename(fresh, path)
}

/** Packs that this run counts as absent though they are there: their rows are kept for other runs. */
const setAside = (
  rows: Map<PackNo, PackRow>,
  packs: ReadonlySet<PackNo>,
): ReadonlyMap<PackNo, PackRow> => {
  const aside = new Map([...rows].filter(([pack]) => packs.has(pack)))
  for (const pack of aside.keys()) rows.delete(pack)
  return aside
}

/** One that is damaged is not there: its content is stored anew. */
const isIt = (record: Uint8Array, ids: Uint8Array, at: number): boolean =>
  recordHasId(record, ids, at) && recordIsIntact(record)

export type Absent = {
  readonly gone: readonly PackNo[] | 'all'
  readonly left: ReadonlySet<PackNo>
}

/** Opens what the agent knows about a vault; `gone` is dropped first, `left` counts as absent in this run. */
export const openKnown = (state: StateFolder, vault: string, { gone, left }: Absent): Known => {
  const paths = { packs: `vaults/${vault}/packs`, blobs: `vaults/${vault}/blobs` }
  const all = loadRows(state, paths.packs)
  let highestRow = 0
  for (const pack of all.keys()) highestRow = Math.max(highestRow, pack)
  const lost = (gone === 'all' ? [...all.keys()] : gone).filter((pack) => all.delete(pack))
  if (lost.length > 0) saveRows(state, paths.packs, all)
  const table = createTable()
  let file = state.records(paths.blobs, RECORD_BYTES)
  const { dead, highest } = fillTable(table, file, all)
  if (dead > MOST_DEAD * file.count) {
    file.close()
    compact(state, paths.blobs, all)
    file = state.records(paths.blobs, RECORD_BYTES)
    fillTable(table, file, all)
  }
  const rows = new Map(all)
  const aside = setAside(rows, left)
  if (aside.size > 0) fillTable(table, file, rows)
  const records = (): RecordFile => file
  const locate = (ids: Uint8Array, at: number): Locator | null => {
    const found = table.find(ids, at, (n) => isIt(records().read(n), ids, at))
    return found === -1 ? null : recordLocator(records().read(found))
  }
  return {
    locate,
    locateId: (id) => locate(idBytes(id), 0),
    add: (ids, at, place) => {
      const record = encodeRecord(ids.subarray(at, at + 32), place)
      table.add(record, 0, records().append(record))
    },
    confirm: (confirmed) => {
      // Ids first: a pack line without its ids would only lose knowledge, but never invent any.
      records().flush()
      state.appendLines(paths.packs, confirmed.map(rowLine))
      for (const row of confirmed) rows.set(row.pack, row)
    },
    row: (pack) => rows.get(pack),
    full: (locator) => {
      const row = rows.get(locator[0])
      if (row === undefined)
        throw fail('INTERNAL_AGENT', { problem: `pack ${String(locator[0])} has no row` })
      return [...locator, row.key, row.size, row.sha256, row.headerHash]
    },
    forget: (packs) => {
      for (const pack of packs) rows.delete(pack)
      saveRows(state, paths.packs, new Map([...aside, ...rows]))
      fillTable(table, records(), rows)
    },
    highest: Math.max(highest, highestRow),
    get ids() {
      return table.size
    },
    close: () => records().close(),
  }
}
