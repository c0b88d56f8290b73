/**
 * Which entries must be affected when objects are not what they were: worked out from the writer's book and from the
 * bytes themselves, with none of the code that reads vaults.
 */
import { parseKey } from '#shared/format/layout.ts'
import type { Locator } from '#shared/format/locator.ts'
import { pathOf } from '#shared/format/tree-order.ts'
import type { World } from './flip-world.ts'
import type { WrittenBackup } from '../support/vault-writer.ts'

const SEGMENT = 65_536
const SEALED = 65_552

/** Objects as they are now; what is not in it is gone. */
export type Present = ReadonlyMap<string, Uint8Array>

/** Paths of the backup that cannot be restored. */
export const affected = ({ writer }: World, backup: WrittenBackup, now: Present): Set<string> => {
  const all = new Set(backup.files.map(({ test }) => pathOf(test.dir, test.name)))
  const was = writer.objects
  if (!chainHolds(was, now, backup.signer) || !secretThere(was, now)) return all
  if (!same(was.get(backup.key), now.get(backup.key))) return all
  const memo = new Map<string, boolean>()
  const frameReads = ([pack, offset, length]: Locator): boolean => {
    const name = `${pack} ${offset}`
    const known =
      memo.get(name) ?? frameHolds(writer.store.placed.get(pack), { offset, length }, { was, now })
    memo.set(name, known)
    return known
  }
  const listed = (pack: number): boolean =>
    backup.table.every((node) => !node.packs.includes(pack) || frameReads(node.locator))
  const reads = (locator: Locator): boolean => listed(locator[0]) && frameReads(locator)
  const out = new Set<string>()
  let at = 0
  backup.segments.forEach(({ locator, entries }, i) => {
    const fenced = backup.fence.every(
      (node) => i < node.from || i >= node.to || frameReads(node.locator),
    )
    const known = fenced && reads(locator)
    for (const file of backup.files.slice(at, at + entries)) {
      const whole = known && [...file.content, ...file.lists].every(reads)
      if (!whole) out.add(pathOf(file.test.dir, file.test.name))
    }
    at += entries
  })
  return out
}

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && Buffer.compare(a, b) === 0

/** Each signer up to this one stands under its own name. */
const chainHolds = (was: Present, now: Present, signer: number): boolean =>
  [...was].every(([key, bytes]) => {
    const parsed = parseKey(key)
    if (parsed?.kind !== 'signer' || parsed.no > signer) return true
    return same(bytes, now.get(key))
  })

/** Every secret of the vault is the same one, whatever its name says. */
const secretThere = (was: Present, now: Present): boolean => {
  const isSecret = (key: string): boolean => parseKey(key)?.kind === 'key'
  const secrets = [...was].filter(([key]) => isSecret(key)).map(([, bytes]) => bytes)
  return [...now].some(
    ([key, bytes]) => isSecret(key) && secrets.some((secret) => same(secret, bytes)),
  )
}

type Placed = { readonly key: string; readonly preamble: number; readonly size: number }

/** The header, and the sealed segments that the frame lies in, are byte for byte what they were. */
const frameHolds = (
  object: Placed | undefined,
  frame: { readonly offset: number; readonly length: number },
  { was, now }: { readonly was: Present; readonly now: Present },
): boolean => {
  const before = object === undefined ? undefined : was.get(object.key)
  const after = object === undefined ? undefined : now.get(object.key)
  if (object === undefined || before === undefined || after === undefined) return false
  const holds = (start: number, end: number): boolean =>
    Buffer.compare(before.subarray(start, end), after.subarray(start, end)) === 0
  if (!holds(0, object.preamble)) return false
  const first = Math.floor(frame.offset / SEGMENT)
  const last = Math.ceil((frame.offset + frame.length) / SEGMENT)
  return holds(
    object.preamble + first * SEALED,
    Math.min(object.size, object.preamble + last * SEALED),
  )
}
