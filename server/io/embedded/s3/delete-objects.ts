import { receiveText } from './body.ts'
import { syncFolder } from './disk.ts'
import { answerXml, needBucket, unquoted, type Exchange } from './exchange.ts'
import { removeObject, type Condition } from './objects.ts'
import { childrenOf, parseXml, textOf, type Element } from './parse-xml.ts'
import { Refusal, refuse } from './refusal.ts'
import { MAX_KEY_BYTES } from './request.ts'
import { mapLimited } from './turns.ts'
import { field, group, xmlDocument } from './xml.ts'

const MAX_OBJECTS = 1000
/** A thousand longest keys, every byte of them escaped, with room to spare. */
const MAX_XML = 8 * 1024 * 1024
const AT_ONCE = 16

type Wanted = {
  readonly key: string
  readonly version: string | undefined
  readonly condition: Condition
}

const wantedOf = (element: Element): Wanted => {
  const key = textOf(element, 'Key')
  if (key === undefined || key === '') throw refuse('MalformedXML')
  const etag = textOf(element, 'ETag')
  return {
    key,
    version: textOf(element, 'VersionId'),
    condition: etag === undefined ? { kind: 'none' } : { kind: 'match', etag: unquoted(etag) },
  }
}

type Done = { readonly xml: string; readonly touched: string | null }

const remove = async ({ disk, request }: Exchange, wanted: Wanted): Promise<Done> => {
  const { key, version, condition } = wanted
  try {
    if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw refuse('KeyTooLongError')
    if (version !== undefined && version !== 'null') throw refuse('NoSuchVersion')
    const touched = await removeObject(disk, { bucket: request.bucket, key }, condition)
    return { xml: group('Deleted', field('Key', key)), touched }
  } catch (error) {
    const { code, message } = error instanceof Refusal ? error : refuse('InternalError')
    if (!(error instanceof Refusal))
      disk.log.error({ key, problem: String(error) }, 's3 delete failed')
    const xml = group('Error', field('Key', key), field('Code', code), field('Message', message))
    return { xml, touched: null }
  }
}

/** DeleteObjects: up to 1,000 keys, each with its own result; folders are synced once for all. */
export const deleteObjects = async (exchange: Exchange): Promise<void> => {
  const { disk, request, payload } = exchange
  await needBucket(exchange)
  const root = parseXml(await receiveText({ request, payload }, MAX_XML))
  const wanted = childrenOf(root, 'Object').map(wantedOf)
  if (root.name !== 'Delete' || wanted.length === 0 || wanted.length > MAX_OBJECTS) {
    throw refuse('MalformedXML')
  }
  const done = await mapLimited(wanted, AT_ONCE, async (one) => remove(exchange, one))
  const touched = new Set(done.flatMap((one) => (one.touched === null ? [] : [one.touched])))
  await Promise.all([...touched].map(async (path) => syncFolder(disk, path)))
  const quiet = textOf(root, 'Quiet')?.trim() === 'true'
  const said = done.filter(({ xml }) => !quiet || !xml.startsWith('<Deleted>'))
  answerXml(exchange, xmlDocument('DeleteResult', ...said.map(({ xml }) => xml)))
}
