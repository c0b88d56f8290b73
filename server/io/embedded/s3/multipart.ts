import { MAX_PUT } from './announced.ts'
import { receive } from './body.ts'
import { isChecksumName, type ChecksumName, type ChecksumType } from './checksums.ts'
import { copyResult, openSource } from './copy.ts'
import { copyBytes, digests } from './copy-bytes.ts'
import {
  answer,
  answerSlowly,
  answerXml,
  needBucket,
  quoted,
  subjectOf,
  type Exchange,
} from './exchange.ts'
import { parseRange } from './get.ts'
import { askedChecksum, givenHeaders, refuseUnsupported } from './object-headers.ts'
import type { OpenedObject } from './objects.ts'
import { refuse } from './refusal.ts'
import { countOf, queryOf } from './request.ts'
import type { S3Request } from './request.ts'
import { openTemp } from './temps.ts'
import { beginUpload, dropUpload, findUpload, keepPart, type Upload } from './uploads.ts'
import { field, xmlDocument } from './xml.ts'

export const MAX_PARTS = 10_000

const typeOf = (request: S3Request, name: ChecksumName): ChecksumType => {
  const asked = request.headers.get('x-amz-checksum-type')?.toUpperCase()
  const usual = name === 'crc64nvme' ? 'FULL_OBJECT' : 'COMPOSITE'
  if (asked === undefined || asked === usual) return usual
  if (asked === 'FULL_OBJECT' && name.startsWith('crc')) return asked
  throw refuse(
    'InvalidRequest',
    `The ${asked} checksum type cannot be used with the ${name} checksum algorithm.`,
  )
}

/** CreateMultipartUpload. */
export const createUpload = async (exchange: Exchange): Promise<void> => {
  const { disk, request } = exchange
  refuseUnsupported(request)
  await needBucket(exchange)
  const name = askedChecksum(request)
  const checksum = name === null ? null : { name, type: typeOf(request, name) }
  const subject = subjectOf(exchange)
  const id = await beginUpload(disk, subject, { ...givenHeaders(request), checksum })
  const { bucket, key } = subject
  answerXml(
    exchange,
    xmlDocument(
      'InitiateMultipartUploadResult',
      field('Bucket', bucket),
      field('Key', key),
      field('UploadId', id),
    ),
    checksum === null
      ? {}
      : {
          'x-amz-checksum-algorithm': checksum.name.toUpperCase(),
          'x-amz-checksum-type': checksum.type,
        },
  )
}

const partNumberOf = (request: S3Request): number => {
  const number = countOf(request, 'partNumber', 0)
  if (number < 1 || number > MAX_PARTS) {
    throw refuse('InvalidArgument', 'Part number must be an integer between 1 and 10000, inclusive')
  }
  return number
}

export const uploadOf = async (exchange: Exchange): Promise<Upload> => {
  await needBucket(exchange)
  const id = queryOf(exchange.request, 'uploadId') ?? ''
  return findUpload(exchange.disk, subjectOf(exchange), id)
}

/** The checksum of a part must be of the kind that the upload was begun with. */
const checkKind = ({ checksum }: Upload, request: S3Request): void => {
  const announced = [...request.headers.keys(), request.headers.get('x-amz-trailer') ?? '']
    .map((name) => /^x-amz-checksum-(\w+)$/.exec(name.toLowerCase())?.[1] ?? '')
    .find(isChecksumName)
  if (checksum !== null && announced !== undefined && announced !== checksum.name) {
    throw refuse(
      'InvalidRequest',
      `Checksum Type mismatch occurred, expected checksum Type: ${checksum.name}, actual checksum Type: ${announced}`,
    )
  }
}

/** UploadPart. */
export const uploadPart = async (exchange: Exchange): Promise<void> => {
  const { disk, request, payload } = exchange
  refuseUnsupported(request)
  const number = partNumberOf(request)
  const upload = await uploadOf(exchange)
  checkKind(upload, request)
  const temp = await openTemp(disk.temps)
  try {
    const sink = async (piece: Buffer): Promise<void> => temp.write(piece)
    const compute = upload.checksum?.name ?? null
    const { md5, checksum } = await receive({ request, payload, sink, compute })
    await keepPart(disk, subjectOf(exchange), upload.id, { temp, number, md5, checksum })
    const value = checksum === null ? {} : { [`x-amz-checksum-${checksum.name}`]: checksum.value }
    answer(exchange, 200, { etag: quoted(md5), ...value })
  } finally {
    await temp.discard()
  }
}

const spanOf = (request: S3Request, { size }: OpenedObject): readonly [number, number] => {
  const text = request.headers.get('x-amz-copy-source-range')
  if (text === undefined) return [0, size]
  const span = /^bytes=\d+-\d+$/.test(text) ? parseRange(text, size) : null
  if (span === null || Number(text.split('-')[1]) >= size) {
    throw refuse('InvalidArgument', 'The x-amz-copy-source-range value must lie within the source.')
  }
  return [span.first, span.last + 1]
}

const copyPart = async (
  { disk, request, ...rest }: Exchange,
  upload: Upload,
  source: OpenedObject,
): Promise<string> => {
  const span = spanOf(request, source)
  if (span[1] - span[0] > MAX_PUT) throw refuse('EntityTooLarge')
  const name = upload.checksum?.name ?? null
  const running = digests(name)
  const temp = await openTemp(disk.temps)
  try {
    await copyBytes(source.handle, span, temp, running.update)
    const { md5, checksum: value } = running.finish()
    const checksum =
      name === null || value === null ? null : ({ name, value, type: 'FULL_OBJECT' } as const)
    const part = { temp, number: partNumberOf(request), md5, checksum }
    await keepPart(disk, subjectOf({ disk, request, ...rest }), upload.id, part)
    return copyResult('CopyPartResult', { etag: md5, modified: disk.clock.now(), checksum })
  } finally {
    await temp.discard()
  }
}

/** UploadPartCopy. */
export const uploadPartCopy = async (exchange: Exchange): Promise<void> => {
  const { disk, request } = exchange
  partNumberOf(request)
  const upload = await uploadOf(exchange)
  const source = await openSource(disk, request)
  try {
    await answerSlowly(exchange, copyPart(exchange, upload, source))
  } finally {
    await source.handle.close()
  }
}

/** AbortMultipartUpload. */
export const abortUpload = async (exchange: Exchange): Promise<void> => {
  const upload = await uploadOf(exchange)
  await dropUpload(exchange.disk, subjectOf(exchange), upload.id)
  answer(exchange, 204)
}
