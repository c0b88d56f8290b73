import { lstat, mkdir, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { bucketExists, bucketPath, errnoOf, ifThere, syncFolder, type Disk } from './disk.ts'
import { refuse } from './refusal.ts'

/** The folder that must be there already, and the names below it that lead to `folder`. */
const wayTo = (
  disk: Disk,
  bucket: string,
  folder: string,
): readonly [string, readonly string[]] => {
  const base = folder.startsWith(disk.hidden)
    ? join(disk.hidden, 'aside')
    : bucketPath(disk, bucket)
  const rest = folder.slice(base.length + 1)
  return [base, rest === '' ? [] : rest.split('/')]
}

/**
 * Makes the folders down to `folder`, inside a bucket that exists. `blocked`: a file stands in the way. `again`: they are
 * there, or were a moment ago (a removal prunes empty folders at any time), so try the file again.
 */
export const makeFolders = async (
  disk: Disk,
  bucket: string,
  folder: string,
): Promise<'again' | 'blocked'> => {
  if (!(await bucketExists(disk, bucket)))
    throw refuse('NoSuchBucket', undefined, { BucketName: bucket })
  const [base, names] = wayTo(disk, bucket, folder)
  let path = base
  for (const name of names) {
    const parent = path
    path = join(parent, name)
    try {
      await mkdir(path, { mode: 0o700 })
      await syncFolder(disk, parent)
    } catch (error) {
      const code = errnoOf(error)
      if (code === 'ENOENT') return 'again'
      if (code !== 'EEXIST' && code !== 'ENOTDIR') throw error
      if ((await ifThere(lstat(path)))?.isDirectory() === false) return 'blocked'
    }
  }
  return 'again'
}

/** Removes empty folders from `folder` upwards, below `root`; gives the first one that stays. */
export const prune = async (folder: string, root: string): Promise<string> => {
  let path = folder
  while (path.length > root.length) {
    try {
      await rmdir(path)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') return path
    }
    path = dirname(path)
  }
  return path
}
