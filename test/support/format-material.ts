/** Reproducible content, places and entries for tests of the vault format, and a shelf that stands for a vault. */
import { createHash, hash } from 'node:crypto'
import { hasCode } from '#shared/errors.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import type { FullLocator, Locator } from '#shared/format/locator.ts'
import type { Entry } from '#shared/format/tree.ts'
import { compareOrder, type Place } from '#shared/format/tree-order.ts'

/** Bytes 32 i to 32 i + 31 are the SHA-256 of `seed` and i in decimal. */
export const bytesOf = (size: number, seed = ''): Buffer => {
  const out = Buffer.alloc(Math.ceil(size / 32) * 32)
  for (let i = 0; i * 32 < size; i += 1)
    out.write(hash('sha256', `${seed}${String(i)}`, 'binary'), 32 * i, 'latin1')
  return out.subarray(0, size)
}

export const keyOf = (name: string): Buffer => createHash('sha256').update(name).digest()

export const idOf = (name: string): string => hash('sha256', name, 'base64url')

/** Whole numbers in [0, below), the same for a seed. */
export const dice = (seed: number): ((below: number) => number) => {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

export const isDamaged = (run: () => unknown): boolean => {
  try {
    run()
    return false
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return true
    throw error
  }
}

export const locatorOf = (n: number, length = 1000 + n): Locator => [
  2 ** 32 + 1 + Math.floor(n / 100),
  (n % 100) * 4096,
  4096,
  0,
  length,
  idOf(`blob ${String(n)}`),
]

export const fileOf = (n: number, blobs = 1): Entry => {
  const content = Array.from({ length: blobs }, (_, i) => locatorOf(n + i))
  return {
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    user: 'root',
    group: 'root',
    size: content.reduce((sum, locator) => sum + locator[4], 0),
    mtime: 1_700_000_000_000_000_000n + BigInt(n) * 1_000_003n,
    content,
  }
}

/** `count` places in order: folders of about a dozen files, some inside others. */
export const placesOf = (count: number, seed = 1): readonly Place[] => {
  const roll = dice(seed)
  const places: Place[] = []
  while (places.length < count) {
    const parent =
      places.length === 0 || roll(3) === 0 ? '' : (places[roll(places.length)]?.dir ?? '')
    const depth = parent.split('/').length
    const dir = `${depth > 6 || parent === '/' ? '' : parent}/d${String(places.length)}${roll(4) === 0 ? '.x' : ''}`
    for (let i = 0; i <= roll(24); i += 1)
      places.push({ dir, name: `file-${String(roll(1e9))}.${String(i)}` })
  }
  return inOrder(places.slice(0, count))
}

export const inOrder = (places: readonly Place[]): readonly Place[] =>
  places.toSorted((a, b) => compareOrder(a.dir, a.name, b.dir, b.name))

export type Shelf = {
  put(bytes: Uint8Array): FullLocator
  read(locator: readonly [...Locator, ...unknown[]]): Uint8Array
  /** Segments read so far. */
  readonly reads: number
}

/** Takes segments and gives them back by locator, as tree packs would. */
export const createShelf = (): Shelf => {
  const held = new Map<string, Uint8Array>()
  let reads = 0
  return {
    put: (bytes) => {
      const id = toBase64url(createHash('sha256').update(bytes).digest())
      held.set(id, bytes)
      const pack = 2 ** 32 + held.size
      const where = `vaults/v/trees/aa/1.${String(held.size)}-aa.age`
      return [pack, 0, bytes.length, 0, bytes.length, id, where, bytes.length, idOf('o'), idOf('h')]
    },
    read: (locator) => {
      const bytes = held.get(locator[5])
      if (bytes === undefined) throw new Error('not on the shelf')
      reads += 1
      return bytes
    },
    get reads() {
      return reads
    },
  }
}

/** Runs a step machine that wants segments. */
export const drive = <T>(
  steps: Generator<Locator | FullLocator, T, Uint8Array>,
  shelf: Shelf,
): T => {
  let step = steps.next()
  while (step.done !== true) step = steps.next(shelf.read(step.value))
  return step.value
}
