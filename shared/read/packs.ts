/** Which object a bare pack number is: the pack table, segment by segment, as far as it is needed. */
import { fail } from '../errors.ts'
import type { FullLocator, PackNo } from '../format/locator.ts'
import { type PackTable, type PackRow, readPackTable } from '../format/pack-table.ts'
import { createRecent } from './recent.ts'
import { factsOf, type ObjectReader } from './object.ts'

export type PackRows = {
  /** `DAMAGED` or `MISSING_OBJECT` where the part of the table that would say it cannot be read, or says nothing. */
  row(pack: PackNo): Promise<PackRow>
}

/** Leaves of 256 rows: tables of 65,536 packs, a TiB, stay in memory (about 25 MB). */
const HELD = 256

type Looked = { readonly table: PackTable; readonly rows: ReadonlyMap<PackNo, PackRow> }

export const createPackRows = (objects: ObjectReader, root: FullLocator): PackRows => {
  const held = createRecent<Promise<Looked>>(HELD)
  const load = async (locator: FullLocator): Promise<Looked> => {
    // The id is the segment's hash: equal ones are one.
    const known = held.get(locator[5])
    if (known !== undefined) return known
    const promise = loadTable(objects, locator)
    held.set(locator[5], promise)
    promise.catch(() => undefined)
    return promise
  }
  return {
    row: async (pack) => {
      let looked = await load(root)
      for (let level = looked.table.level; level > 0; level -= 1) {
        looked = await load(childFor(looked.table, pack))
        if (looked.table.level !== level - 1) throw damaged('a level is not the next')
      }
      const row = looked.rows.get(pack)
      if (row === undefined) throw damaged(`it has no row for pack ${String(pack)}`)
      return row
    },
  }
}

const loadTable = async (objects: ObjectReader, locator: FullLocator): Promise<Looked> => {
  const table = readPackTable(await objects.segment(factsOf(locator), locator))
  const rows = 'rows' in table ? table.rows : []
  return { table, rows: new Map(rows.map((row) => [row.pack, row])) }
}

/** The last child that begins at or before the number. */
const childFor = (table: PackTable, pack: PackNo): FullLocator => {
  const child =
    'children' in table ? table.children.findLast(({ first }) => first <= pack) : undefined
  if (child === undefined) throw damaged(`it has no row for pack ${String(pack)}`)
  return child.locator
}

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'The pack table', problem })
