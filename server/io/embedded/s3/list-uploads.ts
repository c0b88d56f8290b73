import { answerXml, needBucket, quoted, subjectOf, type Exchange } from './exchange.ts'
import { namer } from './list.ts'
import { uploadOf } from './multipart.ts'
import { countOf, queryOf } from './request.ts'
import { listParts, listUploads, type Part, type Upload } from './uploads.ts'
import { field, group, xmlDocument } from './xml.ts'

const MAX_PAGE = 1000

const OWNER = [field('ID', 'holdfast'), field('DisplayName', 'holdfast')]
const PEOPLE = [
  group('Initiator', ...OWNER),
  group('Owner', ...OWNER),
  field('StorageClass', 'STANDARD'),
]

const partElement = ({ number, md5, size, modified, checksum }: Part): string =>
  group(
    'Part',
    field('PartNumber', number),
    field('LastModified', new Date(modified).toISOString()),
    field('ETag', quoted(md5)),
    field('Size', size),
    checksum === null ? '' : field(`Checksum${checksum.name.toUpperCase()}`, checksum.value),
  )

/** ListParts. */
export const listPartsOf = async (exchange: Exchange): Promise<void> => {
  const { disk, request } = exchange
  const upload = await uploadOf(exchange)
  const marker = countOf(request, 'part-number-marker', 0)
  const limit = Math.min(countOf(request, 'max-parts', MAX_PAGE), MAX_PAGE)
  const { bucket, key } = subjectOf(exchange)
  const rest = (await listParts(disk, { bucket, key }, upload.id)).filter(
    ({ number }) => number > marker,
  )
  const page = rest.slice(0, limit)
  const truncated = rest.length > page.length && limit > 0
  const xml = xmlDocument(
    'ListPartsResult',
    field('Bucket', bucket),
    field('Key', namer(request)(key)),
    field('UploadId', upload.id),
    ...PEOPLE,
    field('PartNumberMarker', marker),
    field('NextPartNumberMarker', page.at(-1)?.number ?? 0),
    field('MaxParts', limit),
    field('IsTruncated', truncated),
    ...(upload.checksum === null
      ? []
      : [
          field('ChecksumAlgorithm', upload.checksum.name.toUpperCase()),
          field('ChecksumType', upload.checksum.type),
        ]),
    ...page.map(partElement),
  )
  answerXml(exchange, xml)
}

type Ask = {
  readonly prefix: string
  readonly delimiter: string
  readonly keyMarker: string
  readonly idMarker: string
  readonly limit: number
}

type Page = {
  readonly uploads: readonly Upload[]
  readonly prefixes: readonly string[]
  readonly truncated: boolean
}

const isAfter = (
  upload: Upload,
  { keyMarker, idMarker }: Ask,
  seen: { marker: boolean },
): boolean => {
  const order = Buffer.compare(Buffer.from(upload.key), Buffer.from(keyMarker))
  if (order !== 0 || idMarker === '') return order > 0
  // Within one key the order is that of time, so what comes after the marked upload is what is listed behind it.
  const after = seen.marker
  if (upload.id === idMarker) seen.marker = true
  return after
}

const pageOf = (all: readonly Upload[], ask: Ask): Page => {
  const { prefix, delimiter, limit } = ask
  const seen = { marker: false }
  const uploads: Upload[] = []
  const prefixes = new Set<string>()
  for (const upload of all) {
    if (!upload.key.startsWith(prefix) || !isAfter(upload, ask, seen)) continue
    const at = delimiter === '' ? -1 : upload.key.indexOf(delimiter, prefix.length)
    const common = upload.key.slice(0, at + delimiter.length)
    if (at >= 0 && (prefixes.has(common) || common === ask.keyMarker)) continue
    if (uploads.length + prefixes.size === limit)
      return { uploads, prefixes: [...prefixes], truncated: true }
    if (at < 0) uploads.push(upload)
    else prefixes.add(common)
  }
  return { uploads, prefixes: [...prefixes], truncated: false }
}

const uploadElement = ({ key, id, begun }: Upload, name: (text: string) => string): string =>
  group(
    'Upload',
    field('Key', name(key)),
    field('UploadId', id),
    ...PEOPLE,
    field('Initiated', new Date(begun).toISOString()),
  )

/** ListMultipartUploads. */
export const listUploadsOf = async (exchange: Exchange): Promise<void> => {
  const { disk, request } = exchange
  const bucket = await needBucket(exchange)
  const name = namer(request)
  const text = (query: string): string => queryOf(request, query) ?? ''
  const ask: Ask = {
    prefix: text('prefix'),
    delimiter: text('delimiter'),
    keyMarker: text('key-marker'),
    idMarker: text('upload-id-marker'),
    limit: Math.min(countOf(request, 'max-uploads', MAX_PAGE), MAX_PAGE),
  }
  const { uploads, prefixes, truncated } =
    ask.limit === 0
      ? { uploads: [], prefixes: [], truncated: false }
      : pageOf(await listUploads(disk, bucket), ask)
  const last = uploads.at(-1)
  const lastPrefix = prefixes.at(-1) ?? ''
  const lastIsPrefix =
    last === undefined || Buffer.compare(Buffer.from(lastPrefix), Buffer.from(last.key)) > 0
  const xml = xmlDocument(
    'ListMultipartUploadsResult',
    field('Bucket', bucket),
    field('KeyMarker', name(ask.keyMarker)),
    field('UploadIdMarker', ask.idMarker),
    truncated ? field('NextKeyMarker', name(lastIsPrefix ? lastPrefix : last.key)) : '',
    truncated ? field('NextUploadIdMarker', lastIsPrefix ? '' : last.id) : '',
    field('Prefix', name(ask.prefix)),
    ask.delimiter === '' ? '' : field('Delimiter', name(ask.delimiter)),
    field('MaxUploads', ask.limit),
    field('IsTruncated', truncated),
    ...uploads.map((upload) => uploadElement(upload, name)),
    ...prefixes.map((one) => group('CommonPrefixes', field('Prefix', name(one)))),
  )
  answerXml(exchange, xml)
}
