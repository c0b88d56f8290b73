import { createHash } from 'node:crypto'
import { mkdir, open, readFile, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isChecksumName, type Checksum } from './checksums.ts'
import { errnoOf, ifThere, syncFile, syncFolder, type Disk } from './disk.ts'

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
export type Metadata = {
  /** Without quotation marks. */
  readonly etag: string
  /** Content-Type and the like, lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** `x-amz-meta-` headers, the prefix left out. */
  readonly user: Readonly<Record<string, string>>
  readonly checksum: Checksum | null
}

/** Tells one published file from any other of the same key. */
export type Identity = { readonly size: bigint; readonly mtimeNs: bigint }

export type Subject = { readonly bucket: string; readonly key: string }

const RECORD = 'holdfast-s3-1'

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
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  try {
    const handle = await open(path, 'wx', 0o600)
    try {
      await handle.writeFile(JSON.stringify({ record: RECORD, key: subject.key, ...metadata }))
      if (!isPlain(metadata)) await syncFile(disk, handle)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
  if (!isPlain(metadata)) await syncFolder(disk, dirname(path))
  return true
}

export const readMetadata = async (
  disk: Disk,
  subject: Subject,
  identity: Identity,
): Promise<Metadata | null> => {
  const text = await ifThere(readFile(recordPath(disk, subject, identity), 'utf8'))
  return text === null ? null : parseRecord(text, subject.key)
}

export const removeMetadata = async (
  disk: Disk,
  subject: Subject,
  identity: Identity,
): Promise<void> => {
  await ifThere(unlink(recordPath(disk, subject, identity)))
}

const parseRecord = (text: string, key: string): Metadata | null => {
  const value = parseJson(text)
  if (!isObject(value) || value['record'] !== RECORD || value['key'] !== key) return null
  const { etag } = value
  const headers = textsOf(value['headers'])
  const user = textsOf(value['user'])
  if (typeof etag !== 'string' || headers === null || user === null) return null
  return { etag, headers, user, checksum: checksumOf(value['checksum']) }
}

/** A record torn by a power cut does not parse. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const textsOf = (value: unknown): Readonly<Record<string, string>> | null => {
  if (!isObject(value)) return null
  const texts: Record<string, string> = {}
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== 'string') return null
    texts[name] = text
  }
  return texts
}

export const checksumOf = (value: unknown): Checksum | null => {
  if (!isObject(value)) return null
  const { name, value: text, type } = value
  if (typeof name !== 'string' || !isChecksumName(name) || typeof text !== 'string') return null
  return { name, value: text, type: type === 'COMPOSITE' ? 'COMPOSITE' : 'FULL_OBJECT' }
}
