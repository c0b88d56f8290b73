import { access, link, lstat, mkdir, open, rm, writeFile, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock, Log } from '#shared/world.ts'
import { keyLock, limiter, memory, type KeyLock, type Limiter, type Memory } from './turns.ts'
import type { Metadata } from './record.ts'
import { clearDeadTemps, ownTempFolder } from './temps.ts'

/**
 * The folder behind the endpoint.
 *
 *     <folder>/<bucket>/<key>                      an object's bytes, nothing else (place.ts)
 *     <folder>/.holdfast-s3/aside/<bucket>/…       objects whose key cannot be a path beside the others (place.ts)
 *     <folder>/.holdfast-s3/meta/<bucket>/<hh>/…   what is known of an object beside its bytes (metadata.ts)
 *     <folder>/.holdfast-s3/uploads/<bucket>/…     multipart uploads that are not complete (uploads.ts)
 *     <folder>/.holdfast-s3/cors/<bucket>.json     a bucket's CORS rules
 *     <folder>/.holdfast-s3/temp/<process>/…       bytes on their way in; removed at the next start
 *
 * A bucket name cannot begin with a dot, so the hidden folder can never be one. All of it must lie in one file system.
 */
export type Disk = {
  readonly folder: string
  readonly hidden: string
  /** This process's folder for bytes on their way in. */
  readonly temps: string
  /** Two names that differ only in case or Unicode form are one file here (macOS). */
  readonly caseless: boolean
  readonly clock: Clock
  readonly log: Log
  /** Serialises changes of one key inside this process; other processes are held off by link(2) and rename(2). */
  readonly locked: KeyLock
  readonly syncs: Limiter
  /** Records read or written lately, by their path; a record never changes under its name. */
  readonly records: Memory<Metadata>
  /** Names of one folder that a listing holds at once. */
  readonly window: number
}

/** About 0.1 KiB each, and twice as many while a folder is read. */
const WINDOW = 8192
/** About 0.5 KiB each. */
const RECORDS_KEPT = 20_000
/** fsyncs at once: they occupy libuv's four threads, which the rest of the process shares. */
const SYNCS_AT_ONCE = 2

const exists = async (path: string): Promise<boolean> => {
  try {
    await access(path)
    return true
  } catch {
    return false
  }
}

/** Whether the file system folds case. Throws where it has no hard links: without them no write could be create-only. */
const probe = async (temps: string): Promise<boolean> => {
  const [name, second] = [join(temps, 'probe'), join(temps, 'second')]
  await writeFile(name, '')
  await link(name, second)
  const folds = await exists(join(temps, 'PROBE'))
  await rm(name)
  await rm(second)
  return folds
}

/** Makes what is missing, and removes what dead processes left half-written. */
export const openDisk = async (folder: string, clock: Clock, log: Log): Promise<Disk> => {
  const hidden = join(folder, '.holdfast-s3')
  for (const name of ['aside', 'meta', 'uploads', 'cors', 'temp']) {
    await mkdir(join(hidden, name), { recursive: true, mode: 0o700 })
  }
  // So that what is synced into these folders later cannot be lost with the folders themselves.
  for (const path of [hidden, folder, dirname(folder)]) await syncPath(path)
  const temps = await ownTempFolder(join(hidden, 'temp'))
  const removed = await clearDeadTemps(join(hidden, 'temp'), clock.now())
  if (removed > 0) log.info({ removed }, 'removed what an earlier process left half-written')
  const caseless = await probe(temps)
  const syncs = limiter(SYNCS_AT_ONCE)
  const records = memory<Metadata>(RECORDS_KEPT)
  const common = { folder, hidden, temps, caseless, clock, log }
  return { ...common, locked: keyLock(), syncs, records, window: WINDOW }
}

export const closeDisk = async (disk: Disk): Promise<void> => {
  await rm(disk.temps, { recursive: true, force: true })
}

/** Makes a file's bytes and times survive a power cut. */
export const syncFile = async (disk: Disk, handle: FileHandle): Promise<void> =>
  disk.syncs(async () => handle.sync())

const syncPath = async (path: string): Promise<void> => {
  const handle = await ifThere(open(path, 'r'))
  if (handle === null) return
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes the names in a folder survive a power cut; a folder that is gone has none. */
export const syncFolder = async (disk: Disk, path: string): Promise<void> =>
  disk.syncs(async () => syncPath(path))

export const bucketPath = (disk: Disk, bucket: string): string => join(disk.folder, bucket)

const BUCKET_NAME = /^(?!\d+\.\d+\.\d+\.\d+$)(?!xn--)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

export const isBucketName = (name: string): boolean => BUCKET_NAME.test(name)

export const bucketExists = async (disk: Disk, bucket: string): Promise<boolean> =>
  isBucketName(bucket) && ((await ifThere(lstat(bucketPath(disk, bucket))))?.isDirectory() ?? false)

/** The error code of a failed system call, or `''`. */
export const errnoOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

const ABSENT = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP'])

/** The result, or null where the path does not lead to anything. */
export const ifThere = async <T>(work: Promise<T>): Promise<T | null> => {
  try {
    return await work
  } catch (error) {
    if (ABSENT.has(errnoOf(error))) return null
    throw error
  }
}
