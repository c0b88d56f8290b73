import { createHash } from 'node:crypto'
import { mkdir, open, readFile, unlink, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf, ifThere, syncFile, syncFolder, type Disk } from './disk.ts'
import { encodeRecord, parseRecord, type Metadata } from './record.ts'

/**
 * What is known of an object beside its bytes, and how the two can never disagree.
 *
 * A record's *name* holds the key's hash and the size and modification time (ns) of exactly the file that it describes:
 * `meta/<bucket>/<hh>/<sha256(key), 40 digits>-<size>-<mtime ns>`. The writer picks the time (its clock's millisecond, with
 * random microseconds), creates the record under that name with O_EXCL, taking another time where the name exists, and only
 * then publishes the bytes with one link(2) or rename(2). So an object's one atomic step also switches its metadata: a
 * reader opens the bytes, looks at size and time of what it opened, and finds that file's record and no other. Killed before
 * that step: the old object with its old record. After it: the new one. A record that nobody's bytes match is never found
 * (a few hundred bytes lost for a kill at that moment). Bytes without a record, put there by other tools, edited in
 * place, or whose record a power cut took, are served with their MD5 as ETag.
 */
/** Tells one published file from any other of the same key. */
export type Identity = { readonly size: bigint; readonly mtimeNs: bigint }

export type Subject = { readonly bucket: string; readonly key: string }

export const metaRoot = (disk: Disk, bucket: string): string => join(disk.hidden, 'meta', bucket)

const recordPath = (disk: Disk, { bucket, key }: Subject, { size, mtimeNs }: Identity): string => {
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 40)
  return join(metaRoot(disk, bucket), hash.slice(0, 2), `${hash}-${size}-${mtimeNs}`)
}

/** What bytes alone can give back again; losing its record to a power cut loses nothing that matters. */
const isPlain = (metadata: Metadata): boolean =>
  Object.keys(metadata.user).length === 0 &&
  Object.entries(metadata.headers).every(
    ([name, value]) => name === 'content-type' && value.endsWith('/octet-stream'),
  ) &&
  !metadata.etag.includes('-')

/**
 * Writes the record of a file that is about to be published; false where that name is taken. On the disk when it returns,
 * unless the bytes could give it back.
 */
export const writeMetadata = async (
  disk: Disk,
  subject: Subject,
  identity: Identity,
  metadata: Metadata,
): Promise<boolean> => {
  const path = recordPath(disk, subject, identity)
  const handle = await openNew(disk, path)
  if (handle === null) return false
  try {
    await handle.writeFile(encodeRecord(subject.key, metadata))
    if (!isPlain(metadata)) await syncFile(disk, handle)
  } finally {
    await handle.close()
  }
  if (!isPlain(metadata)) await syncFolder(disk, dirname(path))
  disk.records.set(path, metadata)
  return true
}

/** Null where there is one already. The folder is there nearly always, so it is made only when it proves missing. */
const openNew = async (disk: Disk, path: string): Promise<FileHandle | null> => {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await open(path, 'wx', 0o600)
    } catch (error) {
      const code = errnoOf(error)
      if (code === 'EEXIST') return null
      if (code !== 'ENOENT' || attempt > 0) throw error
      const folder = dirname(path)
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await syncFolder(disk, dirname(folder))
      await syncFolder(disk, join(disk.hidden, 'meta'))
    }
  }
}

export const readMetadata = async (
  disk: Disk,
  subject: Subject,
  identity: Identity,
): Promise<Metadata | null> => {
  const path = recordPath(disk, subject, identity)
  const known = disk.records.get(path)
  if (known !== undefined) return known
  const text = await ifThere(readFile(path, 'utf8'))
  const metadata = text === null ? null : parseRecord(text, subject.key)
  if (metadata !== null) disk.records.set(path, metadata)
  return metadata
}

export const removeMetadata = async (
  disk: Disk,
  subject: Subject,
  identity: Identity,
): Promise<void> => {
  const path = recordPath(disk, subject, identity)
  disk.records.delete(path)
  await ifThere(unlink(path))
}
