/**
 * The objects that a backup needs, as its signed record says: those of fence and pack table, by their full locators, and
 * the rows of the pack table. What cannot be read of either is said with the object that holds it.
 */
import { Failure } from '#shared/errors.ts'
import { readFence } from '#shared/format/fence.ts'
import type { FullLocator, PackNo } from '#shared/format/locator.ts'
import { type PackRow, readPackTable } from '#shared/format/pack-table.ts'
import { factsOf } from '#shared/read/object.ts'
import { isVaultFault } from '../../core/backup-file.ts'
import type { ReadBackup } from '../read-backup.ts'

/** An object as it was signed for. */
export type Signed = Pick<PackRow, 'pack' | 'key' | 'size' | 'sha256'>

/** A part of fence or pack table that cannot be read, though its object may look right. */
export type Broken = { readonly object: Signed; readonly failure: Failure }

export type Structure = {
  /** By ascending number. */
  readonly objects: readonly Signed[]
  readonly broken: readonly Broken[]
}

type Of = Pick<ReadBackup, 'body' | 'objects'>

const signedOf = (locator: FullLocator): Signed => ({
  pack: locator[0],
  key: locator[6],
  size: locator[7],
  sha256: locator[8],
})

const readNode = async ({ objects }: Of, locator: FullLocator): Promise<Uint8Array> =>
  objects.segment(factsOf(locator), locator)

/** What the vault is not at fault for is thrown. */
const brokenBy = (locator: FullLocator, error: unknown): Broken => {
  if (!(error instanceof Failure) || !isVaultFault(error)) throw error
  return { object: signedOf(locator), failure: error }
}

type Gathered = { readonly objects: Map<PackNo, Signed>; readonly broken: Broken[] }
type Below = { readonly level: number; readonly children: readonly FullLocator[] }

/** The leaves are not read: what is above them says where they lie. */
const gather = async (
  of: Of,
  { objects, broken }: Gathered,
  [root, parse]: readonly [FullLocator, (bytes: Uint8Array) => Below],
): Promise<void> => {
  const waiting: { readonly locator: FullLocator; readonly level: number | null }[] = [
    { locator: root, level: null },
  ]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const { locator, level } = node
    objects.set(locator[0], signedOf(locator))
    if (level === 0) continue
    try {
      const below = parse(await readNode(of, locator))
      for (const child of below.children) waiting.push({ locator: child, level: below.level - 1 })
    } catch (error) {
      broken.push(brokenBy(locator, error))
    }
  }
}

const fenceBelow = (bytes: Uint8Array): Below => {
  const fence = readFence(bytes)
  const children = 'children' in fence ? fence.children.map(({ locator }) => locator) : []
  return { level: fence.level, children }
}

const tableBelow = (bytes: Uint8Array): Below => {
  const table = readPackTable(bytes)
  const children = 'children' in table ? table.children.map(({ locator }) => locator) : []
  return { level: table.level, children }
}

/** The objects of fence and pack table, and of the list of all errors: some hundreds where there are millions of files. */
export const structureOf = async (of: Of): Promise<Structure> => {
  const gathered: Gathered = { objects: new Map(), broken: [] }
  const { fence, packs, errors } = of.body
  await gather(of, gathered, [fence, fenceBelow])
  await gather(of, gathered, [packs, tableBelow])
  if (errors.all !== undefined) gathered.objects.set(errors.all[0], signedOf(errors.all))
  return {
    objects: [...gathered.objects.values()].sort((a, b) => a.pack - b.pack),
    broken: gathered.broken,
  }
}

/** Rows of the pack table above number `after`, ascending, and what of it cannot be read. */
export async function* tableRows(
  of: Of,
  after: PackNo,
): AsyncGenerator<readonly PackRow[] | Broken, void, void> {
  yield* rowsBelow(of, of.body.packs, after)
}

async function* rowsBelow(
  of: Of,
  locator: FullLocator,
  after: PackNo,
): AsyncGenerator<readonly PackRow[] | Broken, void, void> {
  let table: ReturnType<typeof readPackTable>
  try {
    table = readPackTable(await readNode(of, locator))
  } catch (error) {
    yield brokenBy(locator, error)
    return
  }
  if ('rows' in table) {
    yield table.rows.filter(({ pack }) => pack > after)
    return
  }
  for (const [i, child] of table.children.entries()) {
    const next = table.children[i + 1]?.first ?? Infinity
    if (next > after + 1) yield* rowsBelow(of, child.locator, after)
  }
}
