/** Vaults in a folder: a copy of a bucket, or the folder that an S3 server keeps one in. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fail } from '#shared/errors.ts'
import { isId } from '#shared/ids.ts'
import type { ObjectSource } from '../core/restore-ports.ts'
import { fileError, readRange } from './object-source-read.ts'

/** How far below the named folder `vaults` is looked for: data folder, bucket, prefix of two parts. */
const DEPTH = 4
const MOST_FOLDERS = 10_000

/**
 * The vaults in or below `folder`: it may hold `vaults`, be `vaults`, be one vault, or be the bucket or a folder above
 * it. `NOT_A_VAULT` when there is none; `WRONG_USE` when there are several and one must be named.
 */
export const folderSource = async (folder: string): Promise<ObjectSource> => {
  const path = resolve(folder)
  if (isId(basename(path)) && basename(dirname(path)) === 'vaults') {
    return sourceAt(dirname(dirname(path)), basename(path))
  }
  if (basename(path) === 'vaults') return sourceAt(dirname(path))
  const roots = await findRoots(path)
  const [root] = roots
  if (root === undefined) throw fail('NOT_A_VAULT', { where: folder })
  if (roots.length > 1) {
    throw fail('WRONG_USE', {
      problem: `${folder} holds several sets of vaults: name one of ${roots.join(', ')}`,
    })
  }
  return sourceAt(root)
}

/** Breadth first, and not below a folder that holds vaults: what it finds lies at one depth. */
const findRoots = async (top: string): Promise<string[]> => {
  let level = [top]
  for (let depth = 0; depth <= DEPTH && level.length > 0; depth += 1) {
    const roots: string[] = []
    const next: string[] = []
    for (const folder of level.slice(0, MOST_FOLDERS)) {
      const children = await subfolders(folder)
      if (children.includes('vaults') && (await vaultIds(folder)).length > 0) roots.push(folder)
      else next.push(...children.map((name) => join(folder, name)))
    }
    if (roots.length > 0) return roots
    level = next
  }
  return []
}

const subfolders = async (folder: string): Promise<string[]> => {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
}

/** What only a vault in a bucket holds: an agent's own folder has `vaults` too. */
const OF_A_VAULT = ['signers', 'keys', 'backups']

const vaultIds = async (root: string): Promise<string[]> => {
  const found: string[] = []
  for (const name of (await subfolders(join(root, 'vaults'))).filter(isId)) {
    const inside = await subfolders(join(root, 'vaults', name))
    if (OF_A_VAULT.some((folder) => inside.includes(folder))) found.push(name)
  }
  return found.sort()
}

const sourceAt = (root: string, only?: string): ObjectSource => ({
  vaults: async () =>
    only === undefined ? vaultIds(root) : (await vaultIds(root)).filter((vault) => vault === only),
  list: async (prefix) => {
    const keys: string[] = []
    await collect(root, prefix, keys)
    return keys.sort()
  },
  size: async (key) => {
    try {
      const { size } = await stat(join(root, key))
      return size
    } catch (error) {
      const problem = fileError(error, join(root, key), key)
      if (problem instanceof Error && 'code' in problem && problem.code === 'MISSING_OBJECT')
        return null
      throw problem
    }
  },
  read: async (key, start, end) => readRange({ file: join(root, key) }, { start, end }, key),
  whereabouts: (key) => ({ file: join(root, key) }),
})

const collect = async (root: string, prefix: string, keys: string[]): Promise<void> => {
  for (const entry of await readdir(join(root, prefix), { withFileTypes: true }).catch(absent)) {
    if (entry.isDirectory()) await collect(root, `${prefix}${entry.name}/`, keys)
    else if (entry.isFile()) keys.push(prefix + entry.name)
  }
}

const absent = (error: unknown): [] => {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
  throw error
}
