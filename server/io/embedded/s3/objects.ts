import { createHash, randomInt } from 'node:crypto'
import { constants, type BigIntStats } from 'node:fs'
import { link, lstat, open, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MiB, SECOND, type Ms } from '#shared/units.ts'
import {
  bucketExists,
  bucketPath,
  errnoOf,
  ifThere,
  syncFile,
  syncFolder,
  type Disk,
} from './disk.ts'
import { makeFolders, prune } from './folders.ts'
import {
  readMetadata,
  removeMetadata,
  writeMetadata,
  type Identity,
  type Subject,
} from './metadata.ts'
import type { Metadata } from './record.ts'
import { asidePath, asideRoot, plainPath } from './place.ts'
import { refuse } from './refusal.ts'
import type { Temp } from './temps.ts'

/**
 * Objects on the disk. A write is: a whole temporary file, its record (metadata.ts), fsync, then one link(2) (create-only:
 * of any number of racing processes exactly one succeeds) or rename(2) (replace), then fsync of the folder.
 *
 * A key can lie in two places (place.ts) and which one a writer takes depends on what else is there. Two create-only
 * writers that disagree about the place still cannot both win: each looks in the other place before *and after* it has
 * linked its own, and withdraws with 409 when it finds the other's.
 */
export type ObjectInfo = {
  readonly size: number
  /** Milliseconds. */
  readonly modified: Ms
  readonly metadata: Metadata
}

export type OpenedObject = ObjectInfo & { readonly handle: FileHandle }

/** What must hold at the moment of the change. `match`: an ETag without quotes, or `*` for any. */
export type Condition =
  | { readonly kind: 'none' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'match'; readonly etag: string }

/** The attempts when folders come and go under us; each costs microseconds. */
const ATTEMPTS = 32
/** A file changed less than this ago may change again within one tick of its clock: its ETag is not remembered. */
const UNSETTLED: Ms = 2 * SECOND

const identityOf = (stats: BigIntStats): Identity => ({ size: stats.size, mtimeNs: stats.mtimeNs })

const placesOf = (disk: Disk, { bucket, key }: Subject): readonly string[] => {
  const plain = plainPath(disk, bucket, key)
  const aside = asidePath(disk, bucket, key)
  return plain === null ? [aside] : [plain, aside]
}

const fileAt = async (path: string): Promise<Identity | null> => {
  const stats = await ifThere(lstat(path, { bigint: true }))
  return stats?.isFile() === true ? identityOf(stats) : null
}

// O_NONBLOCK: opening a named pipe that somebody left in the folder must not wait for its writer.
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

const openFile = async (
  path: string,
): Promise<{ handle: FileHandle; stats: BigIntStats } | null> => {
  const handle = await ifThere(open(path, READ_FLAGS))
  if (handle === null) return null
  const stats = await handle.stat({ bigint: true })
  if (stats.isFile()) return { handle, stats }
  await handle.close()
  return null
}

const hashOf = async (handle: FileHandle): Promise<string> => {
  const hash = createHash('md5')
  const buffer = Buffer.allocUnsafe(MiB)
  for (let at = 0; ;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
}

/** For bytes without a record: MD5, remembered once the file has settled. */
const recompute = async (disk: Disk, subject: Subject, handle: FileHandle): Promise<Metadata> => {
  const etag = await hashOf(handle)
  const metadata = { etag, headers: {}, user: {}, checksum: null }
  const after = await handle.stat({ bigint: true })
  if (disk.clock.now() - Number(after.mtimeMs) > UNSETTLED) {
    await writeMetadata(disk, subject, identityOf(after), metadata)
  }
  return metadata
}

const describe = async (
  disk: Disk,
  subject: Subject,
  { handle, stats }: { handle: FileHandle; stats: BigIntStats },
  path: string,
): Promise<Metadata | null> => {
  const known = await readMetadata(disk, subject, identityOf(stats))
  if (known !== null) return known
  // Perhaps the object was replaced, and its record removed, between our open and our look: then look again.
  const now = await fileAt(path)
  if (now === null || now.mtimeNs !== stats.mtimeNs || now.size !== stats.size) return null
  return recompute(disk, subject, handle)
}

/** The object with its bytes open for reading, or null. The caller closes the handle. */
export const openObject = async (disk: Disk, subject: Subject): Promise<OpenedObject | null> => {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    let found = false
    for (const path of placesOf(disk, subject)) {
      const opened = await openFile(path)
      if (opened === null) continue
      found = true
      const { handle, stats } = opened
      const metadata = await describe(disk, subject, opened, path)
      if (metadata === null) {
        await handle.close()
        break
      }
      return {
        handle,
        size: Number(stats.size),
        modified: Number(stats.mtimeNs / 1_000_000n),
        metadata,
      }
    }
    if (!found) return null
  }
  throw refuse('SlowDown')
}

/** What is known of the object, or null. */
export const lookAt = async (disk: Disk, subject: Subject): Promise<ObjectInfo | null> => {
  for (const path of placesOf(disk, subject)) {
    const there = await fileAt(path)
    if (there === null) continue
    const metadata = await readMetadata(disk, subject, there)
    if (metadata === null) break
    const modified = Number(there.mtimeNs / 1_000_000n)
    return { size: Number(there.size), modified, metadata }
  }
  // Not there, or without a record: opening settles it, and computes what has to be computed.
  const opened = await openObject(disk, subject)
  await opened?.handle.close()
  return opened
}

/** Gives the temporary file its time and writes the record of that name; both on the disk when it returns. */
const stamp = async (
  disk: Disk,
  subject: Subject,
  temp: Temp,
  metadata: Metadata,
): Promise<Identity> => {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    // After a few collisions the file system is one that keeps whole seconds only: then take later ones.
    const later = Math.max(0, attempt - 4) * SECOND
    const micros = (Math.floor(disk.clock.now()) + later) * 1000 + randomInt(1000)
    const seconds = micros / 1e6
    await temp.handle.utimes(seconds, seconds)
    const identity = identityOf(await temp.handle.stat({ bigint: true }))
    const [written] = await Promise.all([
      writeMetadata(disk, subject, identity, metadata),
      syncFile(disk, temp.handle),
    ])
    if (written) return identity
  }
  throw refuse('SlowDown')
}

type Outcome = 'placed' | 'exists' | 'blocked' | 'again'

const attempt = async (
  disk: Disk,
  bucket: string,
  path: string,
  act: () => Promise<void>,
): Promise<Outcome> => {
  try {
    await act()
    return 'placed'
  } catch (error) {
    switch (errnoOf(error)) {
      case 'EEXIST': {
        const there = await ifThere(lstat(path))
        return there === null ? 'again' : there.isDirectory() ? 'blocked' : 'exists'
      }
      case 'EISDIR':
      case 'ENOTDIR':
        return 'blocked'
      case 'ENOENT':
        return makeFolders(disk, bucket, dirname(path))
      case 'ENAMETOOLONG':
        throw refuse('KeyTooLongError')
    }
    throw error
  }
}

const withdraw = async (path: string, temp: Temp): Promise<void> => {
  const [mine, there] = [await temp.handle.stat(), await ifThere(lstat(path))]
  if (there?.ino === mine.ino && there.dev === mine.dev) await unlink(path)
}

const place = async (
  disk: Disk,
  subject: Subject,
  how: (path: string) => Promise<void>,
): Promise<{ readonly path: string; readonly outcome: 'placed' | 'exists' }> => {
  for (let tries = 0; tries < ATTEMPTS; tries += 1) {
    for (const path of placesOf(disk, subject)) {
      const outcome = await attempt(disk, subject.bucket, path, async () => how(path))
      if (outcome === 'placed' || outcome === 'exists') return { path, outcome }
      if (outcome === 'again') break
    }
  }
  throw refuse('ConditionalRequestConflict')
}

const otherPlace = (disk: Disk, subject: Subject, path: string): string | undefined =>
  placesOf(disk, subject).find((other) => other !== path)

/** Whether the object is there at this moment. */
export const isThere = async (disk: Disk, subject: Subject): Promise<boolean> => {
  for (const path of placesOf(disk, subject)) if ((await fileAt(path)) !== null) return true
  return false
}

const create = async (disk: Disk, subject: Subject, temp: Temp): Promise<string> => {
  const lost = (): Error => refuse('PreconditionFailed', undefined, { Condition: 'If-None-Match' })
  if (await isThere(disk, subject)) throw lost()
  const { path, outcome } = await place(disk, subject, async (to) => link(temp.path, to))
  if (outcome === 'exists') throw lost()
  const other = otherPlace(disk, subject, path)
  if (other !== undefined && (await fileAt(other)) !== null) {
    await withdraw(path, temp)
    throw refuse('ConditionalRequestConflict')
  }
  return path
}

const replace = async (disk: Disk, subject: Subject, temp: Temp): Promise<string> => {
  const old: Identity[] = []
  for (const path of placesOf(disk, subject)) {
    const there = await fileAt(path)
    if (there !== null) old.push(there)
  }
  const { path } = await place(disk, subject, async (to) => temp.moveTo(to))
  const other = otherPlace(disk, subject, path)
  if (other !== undefined && (await fileAt(other)) !== null) await ifThere(unlink(other))
  for (const identity of old) await removeMetadata(disk, subject, identity)
  return path
}

const checkMatch = async (disk: Disk, subject: Subject, etag: string): Promise<void> => {
  const there = await lookAt(disk, subject)
  if (there === null) throw refuse('NoSuchKey', undefined, { Key: subject.key })
  if (etag !== '*' && there.metadata.etag !== etag) {
    throw refuse('PreconditionFailed', undefined, { Condition: 'If-Match' })
  }
}

/** An object aside is not in its bucket's folder, so removing that folder does not notice it (buckets.ts looks again too). */
const checkBucketStays = async (disk: Disk, { bucket }: Subject, path: string): Promise<void> => {
  if (await bucketExists(disk, bucket)) return
  await ifThere(unlink(path))
  throw refuse('NoSuchBucket', undefined, { BucketName: bucket })
}

const lockName = ({ bucket, key }: Subject): string => `${bucket}/${key}`

/**
 * Makes a complete temporary file the object, bytes and metadata in one atomic step, on the disk when it returns. Refuses
 * with `PreconditionFailed`, `NoSuchKey` (a match of nothing), `ConditionalRequestConflict` or `NoSuchBucket`.
 * `absent` holds against any other process; `match` against this one's other requests only.
 */
export const publish = async (
  disk: Disk,
  subject: Subject,
  temp: Temp,
  { metadata, condition }: { readonly metadata: Metadata; readonly condition: Condition },
): Promise<{ readonly modified: Ms }> => {
  await temp.flush()
  const identity = await stamp(disk, subject, temp, metadata)
  const path = await disk.locked(lockName(subject), async () => {
    try {
      if (condition.kind === 'match') await checkMatch(disk, subject, condition.etag)
      return await (condition.kind === 'absent'
        ? create(disk, subject, temp)
        : replace(disk, subject, temp))
    } catch (error) {
      await removeMetadata(disk, subject, identity)
      throw error
    }
  })
  await syncFolder(disk, dirname(path))
  if (path.startsWith(disk.hidden)) await checkBucketStays(disk, subject, path)
  return { modified: Number(identity.mtimeNs / 1_000_000n) }
}

/**
 * Removes an object, if it is there, and the folders that it leaves empty. Gives the folder to sync (`syncFolder`) before
 * the removal may be called lasting, or null when there was nothing.
 */
export const removeObject = async (
  disk: Disk,
  subject: Subject,
  condition: Condition,
): Promise<string | null> =>
  disk.locked(lockName(subject), async () => {
    if (condition.kind === 'match') await checkMatch(disk, subject, condition.etag)
    let touched: string | null = null
    // Aside first: it must not come to light again when the plain one is gone.
    for (const path of placesOf(disk, subject).toReversed()) {
      const there = await fileAt(path)
      if (there === null) continue
      await ifThere(unlink(path))
      await removeMetadata(disk, subject, there)
      const root = path.startsWith(disk.hidden)
        ? asideRoot(disk, subject.bucket)
        : bucketPath(disk, subject.bucket)
      touched = await prune(dirname(path), root)
    }
    return touched
  })
