import { receive } from './body.ts'
import { answer, needBucket, quoted, subjectOf, unquoted, type Exchange } from './exchange.ts'
import {
  checksumHeaders,
  givenHeaders,
  refuseUnsupported,
  refuseVersion,
} from './object-headers.ts'
import { isThere, publish, removeObject, type Condition } from './objects.ts'
import { syncFolder } from './disk.ts'
import { refuse } from './refusal.ts'
import type { S3Request } from './request.ts'
import { openTemp } from './temps.ts'

/** The condition of a write. S3 knows `If-None-Match: *` and `If-Match: <etag>` here and nothing else. */
export const writeCondition = (request: S3Request): Condition => {
  const none = request.headers.get('if-none-match')
  const match = request.headers.get('if-match')
  if (none !== undefined && (none.trim() !== '*' || match !== undefined)) {
    throw refuse('NotImplemented', undefined, { Header: 'If-None-Match' })
  }
  if (none !== undefined) return { kind: 'absent' }
  return match === undefined ? { kind: 'none' } : { kind: 'match', etag: unquoted(match) }
}

/**
 * PutObject: the whole body to a temporary file, verified, then published in one step. Where create-only meets an object
 * that is there already, the body is read and verified but not stored (and not even read when the client asked first).
 */
export const putObject = async (exchange: Exchange): Promise<void> => {
  const { disk, request, payload } = exchange
  refuseUnsupported(request)
  const condition = writeCondition(request)
  const given = givenHeaders(request)
  await needBucket(exchange)
  const subject = subjectOf(exchange)
  if (condition.kind === 'absent' && (await isThere(disk, subject))) {
    if (!request.headers.has('expect')) await receive({ request, payload, sink: () => undefined })
    throw refuse('PreconditionFailed', undefined, { Condition: 'If-None-Match' })
  }
  const temp = await openTemp(disk.temps)
  try {
    const sink = async (piece: Buffer): Promise<void> => temp.write(piece)
    const { md5, checksum } = await receive({ request, payload, sink })
    const metadata = { etag: md5, checksum, ...given }
    await publish(disk, subject, temp, { metadata, condition })
    answer(exchange, 200, { etag: quoted(md5), ...checksumHeaders(metadata) })
  } finally {
    await temp.discard()
  }
}

/** DeleteObject: 204 whether or not there was one. */
export const deleteObject = async (exchange: Exchange): Promise<void> => {
  const { disk, request } = exchange
  refuseVersion(request)
  const condition = writeCondition(request)
  await needBucket(exchange)
  const touched = await removeObject(disk, subjectOf(exchange), condition)
  if (touched !== null) await syncFolder(disk, touched)
  answer(exchange, 204)
}
