import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { MiB } from '#shared/units.ts'
import { announcedChecksum } from './announced.ts'
import { receiveText } from './body.ts'
import { running, type Checksum, type Running } from './checksums.ts'
import { copyBytes } from './copy-bytes.ts'
import { answerSlowly, quoted, subjectOf, unquoted, type Exchange } from './exchange.ts'
import { MAX_PARTS, uploadOf } from './multipart.ts'
import { publish } from './objects.ts'
import { childrenOf, parseXml, textOf, type Element } from './parse-xml.ts'
import { writeCondition } from './put.ts'
import { refuse } from './refusal.ts'
import type { S3Request } from './request.ts'
import { openTemp, type Temp } from './temps.ts'
import { dropUpload, listParts, type Part, type Upload } from './uploads.ts'
import { field, xmlDocument } from './xml.ts'

/** Ten thousand parts with the longest checksums. */
const MAX_XML = 8 * MiB
/** Every part but the last has at least this many bytes. */
const MIN_PART = 5 * MiB

const claimed = (element: Element, stored: ReadonlyMap<number, Part>): Part => {
  const number = Number(textOf(element, 'PartNumber')?.trim() ?? Number.NaN)
  if (!Number.isInteger(number) || number < 1 || number > MAX_PARTS) throw refuse('MalformedXML')
  const part = stored.get(number)
  const etag = unquoted(textOf(element, 'ETag') ?? '')
  const checksum = part?.checksum ?? null
  const value =
    checksum === null ? undefined : textOf(element, `Checksum${checksum.name.toUpperCase()}`)
  if (part?.md5 !== etag || (value !== undefined && value.trim() !== checksum?.value)) {
    throw refuse('InvalidPart', undefined, { PartNumber: String(number), ETag: etag })
  }
  return part
}

/** The parts that the request lists, checked against those that are there. */
const chosenParts = (body: string, stored: readonly Part[]): readonly Part[] => {
  const root = parseXml(body)
  const elements = childrenOf(root, 'Part')
  if (root.name !== 'CompleteMultipartUpload' || elements.length === 0) throw refuse('MalformedXML')
  const byNumber = new Map(stored.map((part) => [part.number, part]))
  const parts = elements.map((element) => claimed(element, byNumber))
  parts.forEach((part, at) => {
    const before = parts[at - 1]
    if (before === undefined) return
    if (before.number >= part.number) throw refuse('InvalidPartOrder')
    if (before.size < MIN_PART) {
      throw refuse('EntityTooSmall', undefined, {
        ETag: before.md5,
        MinSizeAllowed: String(MIN_PART),
        PartNumber: String(before.number),
        ProposedSize: String(before.size),
      })
    }
  })
  return parts
}

const etagOf = (parts: readonly Part[]): string => {
  const hash = createHash('md5')
  for (const { md5 } of parts) hash.update(Buffer.from(md5, 'hex'))
  return `${hash.digest('hex')}-${parts.length}`
}

/** COMPOSITE needs only the parts' checksums; FULL_OBJECT was computed from the bytes. */
const checksumOf = (
  { checksum }: Upload,
  parts: readonly Part[],
  whole: Running | null,
): Checksum | null => {
  if (checksum === null) return null
  const { name, type } = checksum
  if (whole !== null) return { name, type, value: whole.digest().toString('base64') }
  const composite = running(name)
  for (const part of parts) composite.update(Buffer.from(part.checksum?.value ?? '', 'base64'))
  return { name, type, value: `${composite.digest().toString('base64')}-${parts.length}` }
}

const checkExpected = (request: S3Request, checksum: Checksum | null, size: number): void => {
  const expected = announcedChecksum(request)
  const value = expected?.value ?? null
  if (
    value !== null &&
    checksum?.type === 'FULL_OBJECT' &&
    expected?.name === checksum.name &&
    value !== checksum.value
  ) {
    throw refuse('BadDigest')
  }
  const expectedSize = request.headers.get('x-amz-mp-object-size')
  if (expectedSize !== undefined && expectedSize !== String(size)) {
    throw refuse('InvalidRequest', 'The provided x-amz-mp-object-size does not match the object.')
  }
}

const stitch = async (parts: readonly Part[], temp: Temp, whole: Running | null): Promise<void> => {
  for (const { path, size } of parts) {
    const handle = await open(path, 'r')
    try {
      await copyBytes(handle, [0, size], temp, (piece) => whole?.update(piece))
    } finally {
      await handle.close()
    }
  }
}

const complete = async (
  exchange: Exchange,
  upload: Upload,
  parts: readonly Part[],
): Promise<string> => {
  const { disk, request } = exchange
  const subject = subjectOf(exchange)
  const whole = upload.checksum?.type === 'FULL_OBJECT' ? running(upload.checksum.name) : null
  const temp = await openTemp(disk.temps)
  try {
    await stitch(parts, temp, whole)
    const checksum = checksumOf(upload, parts, whole)
    checkExpected(
      request,
      checksum,
      parts.reduce((sum, { size }) => sum + size, 0),
    )
    const { headers, user } = upload
    const metadata = { etag: etagOf(parts), headers, user, checksum }
    await publish(disk, subject, temp, { metadata, condition: writeCondition(request) })
    // Killed before this: the upload is still there, and completing it again makes the same object again.
    await dropUpload(disk, subject, upload.id)
    const { bucket, key } = subject
    return xmlDocument(
      'CompleteMultipartUploadResult',
      field('Location', `/${bucket}/${key}`),
      field('Bucket', bucket),
      field('Key', key),
      field('ETag', quoted(metadata.etag)),
      checksum === null ? '' : field(`Checksum${checksum.name.toUpperCase()}`, checksum.value),
      checksum === null ? '' : field('ChecksumType', checksum.type),
    )
  } finally {
    await temp.discard()
  }
}

/** CompleteMultipartUpload, also with If-None-Match or If-Match. */
export const completeUpload = async (exchange: Exchange): Promise<void> => {
  const { disk, request, payload } = exchange
  writeCondition(request)
  const upload = await uploadOf(exchange)
  const body = await receiveText({ request, payload, aboutOther: true }, MAX_XML)
  const work = disk.locked(`upload ${upload.id}`, async () => {
    // Read again inside the lock: of two completions at once the second finds the upload gone.
    await uploadOf(exchange)
    const stored = await listParts(disk, subjectOf(exchange), upload.id)
    return complete(exchange, upload, chosenParts(body, stored))
  })
  await answerSlowly(exchange, work)
}
