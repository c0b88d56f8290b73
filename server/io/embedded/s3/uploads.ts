import { randomBytes } from 'node:crypto'
import { lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Ms } from '#shared/units.ts'
import {
  CHECKSUM_BYTES,
  isChecksumName,
  type Checksum,
  type ChecksumName,
  type ChecksumType,
} from './checksums.ts'
import { ifThere, syncFile, syncFolder, type Disk } from './disk.ts'
import type { Subject } from './metadata.ts'
import { isObject, parseJson, textsOf, type Metadata } from './record.ts'
import { refuse } from './refusal.ts'
import type { Temp } from './temps.ts'

/**
 * Multipart uploads that are not complete: `uploads/<bucket>/<upload id>/upload.json`, and a file a part whose *name* says
 * all that is known of it, so that bytes and facts are one: `<number, 5 digits>.<md5>.<checksum name>-<hex>` or `….none`.
 * A part sent again with other bytes lies beside the first; the newest counts.
 */
export type Upload = Pick<Metadata, 'headers' | 'user'> & {
  readonly id: string
  readonly key: string
  readonly begun: Ms
  readonly checksum: { readonly name: ChecksumName; readonly type: ChecksumType } | null
}

export type Part = {
  readonly number: number
  readonly md5: string
  readonly size: number
  readonly modified: Ms
  readonly checksum: Checksum | null
  readonly path: string
}

const RECORD = 'holdfast-s3-upload-1'
const FILE = 'upload.json'
const ID = /^[0-9a-f]{32}$/

const bucketFolder = (disk: Disk, bucket: string): string => join(disk.hidden, 'uploads', bucket)

const uploadFolder = (disk: Disk, bucket: string, id: string): string =>
  join(bucketFolder(disk, bucket), id)

const parseUpload = (id: string, text: string): Upload | null => {
  const value = parseJson(text)
  if (!isObject(value) || value['record'] !== RECORD) return null
  const { key, begun, checksum } = value
  const headers = textsOf(value['headers'])
  const user = textsOf(value['user'])
  if (typeof key !== 'string' || typeof begun !== 'number' || headers === null || user === null) {
    return null
  }
  const name = isObject(checksum) ? checksum['name'] : null
  const whole = isObject(checksum) && checksum['type'] === 'FULL_OBJECT'
  const known = typeof name === 'string' && isChecksumName(name)
  const type = whole ? 'FULL_OBJECT' : 'COMPOSITE'
  return { id, key, begun, headers, user, checksum: known ? { name, type } : null }
}

/** Begins an upload; it is on the disk when this returns. */
export const beginUpload = async (
  disk: Disk,
  { bucket, key }: Subject,
  given: Omit<Upload, 'id' | 'key' | 'begun'>,
): Promise<string> => {
  const id = randomBytes(16).toString('hex')
  // Made among the temporary files and moved as a whole: an upload without its record can never be seen.
  const folder = join(disk.temps, id)
  await mkdir(folder, { mode: 0o700 })
  const handle = await open(join(folder, FILE), 'wx', 0o600)
  try {
    const upload = { record: RECORD, key, begun: disk.clock.now(), ...given }
    await handle.writeFile(JSON.stringify(upload))
    await syncFile(disk, handle)
  } finally {
    await handle.close()
  }
  await syncFolder(disk, folder)
  await mkdir(bucketFolder(disk, bucket), { recursive: true, mode: 0o700 })
  await rename(folder, uploadFolder(disk, bucket, id))
  await syncFolder(disk, bucketFolder(disk, bucket))
  return id
}

const noSuchUpload = (id: string): Error => refuse('NoSuchUpload', undefined, { UploadId: id })

/** The upload of that id and key, or `NoSuchUpload`. */
export const findUpload = async (
  disk: Disk,
  { bucket, key }: Subject,
  id: string,
): Promise<Upload> => {
  if (!ID.test(id)) throw noSuchUpload(id)
  const text = await ifThere(readFile(join(uploadFolder(disk, bucket, id), FILE), 'utf8'))
  const upload = text === null ? null : parseUpload(id, text)
  if (upload?.key !== key) throw noSuchUpload(id)
  return upload
}

/** All uploads of a bucket, by key, then by time. */
export const listUploads = async (disk: Disk, bucket: string): Promise<readonly Upload[]> => {
  const uploads: Upload[] = []
  for (const id of (await ifThere(readdir(bucketFolder(disk, bucket)))) ?? []) {
    const path = join(uploadFolder(disk, bucket, id), FILE)
    const text = ID.test(id) ? await ifThere(readFile(path, 'utf8')) : null
    const upload = text === null ? null : parseUpload(id, text)
    if (upload !== null) uploads.push(upload)
  }
  const order = (a: Upload, b: Upload): number =>
    Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)) || a.begun - b.begun
  return uploads.toSorted(order)
}

const checksumPiece = (checksum: Checksum | null): string =>
  checksum === null
    ? 'none'
    : `${checksum.name}-${Buffer.from(checksum.value, 'base64').toString('hex')}`

const PART = /^(\d{5})\.([0-9a-f]{32})\.(?:none|(\w+)-([0-9a-f]+))$/

/** Moves a complete temporary file to its place as a part; on the disk when it returns. */
export const keepPart = async (
  disk: Disk,
  { bucket }: Subject,
  id: string,
  part: { readonly temp: Temp; readonly number: number } & Pick<Part, 'md5' | 'checksum'>,
): Promise<void> => {
  const { temp, number, md5, checksum } = part
  await temp.flush()
  await syncFile(disk, temp.handle)
  const folder = uploadFolder(disk, bucket, id)
  const name = `${String(number).padStart(5, '0')}.${md5}.${checksumPiece(checksum)}`
  // The folder is gone when somebody completed or aborted the upload meanwhile.
  const moved = await ifThere(temp.moveTo(join(folder, name)).then(() => true))
  if (moved === null) throw noSuchUpload(id)
  await syncFolder(disk, folder)
}

const partOf = async (
  folder: string,
  name: string,
): Promise<(Part & { ctimeNs: bigint }) | null> => {
  const [, number, md5, checksumName, hex] = PART.exec(name) ?? []
  if (number === undefined || md5 === undefined) return null
  const path = join(folder, name)
  const stats = await ifThere(lstat(path, { bigint: true }))
  if (stats === null) return null
  const raw = Buffer.from(hex ?? '', 'hex')
  const known = checksumName !== undefined && isChecksumName(checksumName)
  const sound = known && raw.length === CHECKSUM_BYTES[checksumName]
  return {
    number: Number(number),
    md5,
    size: Number(stats.size),
    modified: Number(stats.mtimeMs),
    checksum: sound
      ? { name: checksumName, value: raw.toString('base64'), type: 'FULL_OBJECT' }
      : null,
    path,
    ctimeNs: stats.ctimeNs,
  }
}

/** The parts of an upload, by number; of two with one number the newest. */
export const listParts = async (
  disk: Disk,
  { bucket }: Subject,
  id: string,
): Promise<readonly Part[]> => {
  const folder = uploadFolder(disk, bucket, id)
  const newest = new Map<number, Part & { ctimeNs: bigint }>()
  for (const name of (await ifThere(readdir(folder))) ?? []) {
    const part = await partOf(folder, name)
    if (part === null) continue
    const other = newest.get(part.number)
    if (other === undefined || other.ctimeNs < part.ctimeNs) newest.set(part.number, part)
  }
  return [...newest.values()].toSorted((a, b) => a.number - b.number)
}

/** Removes an upload and its parts; false when it was gone already. */
export const dropUpload = async (disk: Disk, { bucket }: Subject, id: string): Promise<boolean> => {
  const dead = join(disk.temps, `dead-${id}`)
  const moved = await ifThere(rename(uploadFolder(disk, bucket, id), dead).then(() => true))
  if (moved === null) return false
  await syncFolder(disk, bucketFolder(disk, bucket))
  await rm(dead, { recursive: true, force: true })
  return true
}
