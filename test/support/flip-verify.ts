/** What verifications say of a damaged vault, against what the writer's book says that they must. */
import { showPath } from '#shared/api/file-ids.ts'
import type { Finding } from '#shared/api/findings.ts'
import { parseKey } from '#shared/format/layout.ts'
import { compareOrder, pathOf } from '#shared/format/tree-order.ts'
import { affected } from '../soak/flip-oracle.ts'
import type { World } from '../soak/flip-world.ts'
import { type Bucket, type MemoryVerify, memoryVerify } from './memory-verify.ts'
import type { VaultWriter, WrittenBackup } from './vault-writer.ts'

/** Objects that a backup needs: all that its tree leads to, its own record, and those of the vault. */
export const neededBy = (writer: VaultWriter, backup: WrittenBackup): ReadonlySet<string> => {
  const nos = [
    ...backup.files.flatMap(({ content, lists }) => [...content, ...lists]),
    ...[backup.segments, backup.fence, backup.table].flat().map(({ locator }) => locator),
  ].map(([no]) => no)
  const keys = [...new Set(nos)].map((no) => writer.store.placed.get(no)?.key ?? '')
  const own = [...writer.objects.keys()].filter((key) => {
    const kind = parseKey(key)?.kind
    return kind === 'signer' || kind === 'key'
  })
  return new Set([...keys, ...own, backup.key])
}

type Place = { readonly dir: string; readonly name: string }

/** Byte strings, as the order of trees wants them. */
const placeAt = (shown: string): Place => {
  const path = Buffer.from(shown, 'utf8').toString('latin1')
  const cut = path.lastIndexOf('/')
  return { dir: cut === 0 ? '/' : path.slice(0, cut), name: path.slice(cut + 1) }
}

const isBefore = (a: Place, b: Place): boolean => compareOrder(a.dir, a.name, b.dir, b.name) < 0

/** Every path of the backup, as it is shown, that findings name or span. */
export const namedBy = (
  { files }: Pick<WrittenBackup, 'files'>,
  problems: readonly Finding[],
): string[] => {
  const spanned = ({ path, to }: Finding, shown: string): boolean => {
    if (path === null) return false
    if (to === undefined) return path === shown
    const at = placeAt(shown)
    return !isBefore(at, placeAt(path)) && (to === null || isBefore(at, placeAt(to)))
  }
  return files
    .map(({ test: { dir, name } }) => showPath(pathOf(dir, name)))
    .filter((one) => problems.some((problem) => spanned(problem, one)))
}

export type Judge = (bucket: Bucket) => Promise<readonly string[]>

const judgeOne = async (
  {
    world,
    backup,
    verify,
  }: {
    readonly world: World
    readonly backup: WrittenBackup
    readonly verify: MemoryVerify
  },
  bucket: Bucket,
): Promise<readonly string[]> => {
  const { objects } = world.writer
  const isHarmed = [...neededBy(world.writer, backup)].some((key) => {
    const [was, is] = [objects.get(key), bucket.get(key)]
    return was === undefined || is === undefined || Buffer.compare(was, is) !== 0
  })
  const full = await verify('full', bucket)
  const restore = await verify('restore', bucket)
  const wanted = [...affected(world, backup, bucket)].map(showPath).sort()
  const named = namedBy(backup, restore.problems).sort()
  const passes = isHarmed ? 'failed' : 'passed'
  return [
    ...(full.status === passes ? [] : [`"full" ${full.status}`]),
    // What restoring does not read, such as padding, concerns no file.
    ...(wanted.length === 0 || restore.status === 'failed' ? [] : ['"restore" passed']),
    ...(named.join('\n') === wanted.join('\n')
      ? []
      : [`"restore" names ${named.length} files and not the ${wanted.length} affected`]),
  ]
}

/** Says of any bucket what the two verifications that read everything get wrong of these backups. */
export const judgeOf = (world: World, backups = world.backups): Judge => {
  const all = backups.map((backup) => ({
    world,
    backup,
    verify: memoryVerify(world.writer, [backup, world.backups.indexOf(backup) + 1]),
  }))
  return async (bucket) => {
    const found: string[] = []
    for (const [i, one] of all.entries())
      for (const text of await judgeOne(one, bucket)) found.push(`backup ${i + 1}: ${text}`)
    return found
  }
}
