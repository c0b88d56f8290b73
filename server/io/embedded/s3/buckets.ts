import { lstat, mkdir, opendir, readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { receiveText } from './body.ts'
import { bucketPath, errnoOf, ifThere, isBucketName, syncFolder, type Disk } from './disk.ts'
import { answer, answerXml, needBucket, type Exchange } from './exchange.ts'
import { metaRoot } from './metadata.ts'
import { asideRoot } from './place.ts'
import { refuse } from './refusal.ts'
import { walkKeys } from './walk.ts'
import { parseXml, textOf } from './parse-xml.ts'
import { field, group, xmlDocument } from './xml.ts'

/** Bucket configuration bodies are small. */
const MAX_XML = 65_536

/** ListBuckets. The creation date is that of the folder. */
export const listBuckets = async (exchange: Exchange): Promise<void> => {
  const { disk } = exchange
  const names = (await readdir(disk.folder)).filter(isBucketName).toSorted()
  const buckets: string[] = []
  for (const name of names) {
    const stats = await ifThere(lstat(bucketPath(disk, name)))
    if (stats?.isDirectory() !== true) continue
    const created = new Date(stats.birthtimeMs > 0 ? stats.birthtimeMs : stats.ctimeMs)
    buckets.push(group('Bucket', field('Name', name), field('CreationDate', created.toISOString())))
  }
  const owner = group('Owner', field('ID', 'holdfast'), field('DisplayName', 'holdfast'))
  answerXml(exchange, xmlDocument('ListAllMyBucketsResult', owner, group('Buckets', ...buckets)))
}

const checkLocation = (exchange: Exchange, body: string): void => {
  if (body.trim() === '') return
  const location = textOf(parseXml(body), 'LocationConstraint')?.trim() ?? ''
  if (location !== '' && location !== exchange.region)
    throw refuse('IllegalLocationConstraintException')
}

const ifNew = async (making: Promise<unknown>): Promise<void> => {
  try {
    await making
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
}

/** CreateBucket. As in us-east-1, creating one's own bucket again succeeds. */
export const createBucket = async (exchange: Exchange): Promise<void> => {
  const { disk, request, payload } = exchange
  const { bucket } = request
  if (!isBucketName(bucket)) throw refuse('InvalidBucketName', undefined, { BucketName: bucket })
  if (request.headers.get('x-amz-bucket-object-lock-enabled')?.toLowerCase() === 'true') {
    throw refuse('NotImplemented', undefined, { Header: 'x-amz-bucket-object-lock-enabled' })
  }
  checkLocation(exchange, await receiveText({ request, payload }, MAX_XML))
  await ifNew(mkdir(bucketPath(disk, bucket), { mode: 0o700 }))
  await syncFolder(disk, disk.folder)
  answer(exchange, 200, { location: `/${bucket}` })
}

export const headBucket = async (exchange: Exchange): Promise<void> => {
  await needBucket(exchange)
  answer(exchange, 200, { 'x-amz-bucket-region': exchange.region })
}

/** GetBucketLocation: us-east-1 is said by an empty element. */
export const bucketLocation = async (exchange: Exchange): Promise<void> => {
  await needBucket(exchange)
  const { region } = exchange
  answerXml(exchange, xmlDocument('LocationConstraint', region === 'us-east-1' ? '' : region))
}

/** GetBucketVersioning of a bucket that was never versioned. */
export const bucketVersioning = async (exchange: Exchange): Promise<void> => {
  await needBucket(exchange)
  answerXml(exchange, xmlDocument('VersioningConfiguration'))
}

/** Removes a tree of empty folders; fails on the first thing that is not one, and then nothing but folders is gone. */
const removeEmpty = async (path: string): Promise<void> => {
  for await (const entry of await opendir(path)) {
    if (!entry.isDirectory()) throw refuse('BucketNotEmpty')
    await removeEmpty(join(path, entry.name))
  }
  await rmdir(path)
}

const isEmpty = async (disk: Disk, bucket: string): Promise<boolean> => {
  const keys = walkKeys(disk, bucket, { after: '', wholly: false }, '')
  const first = await keys.next()
  await keys.return(undefined)
  return first.done === true
}

/** DeleteBucket, with its unfinished uploads and its configuration. A write at the same moment wins: then 409. */
export const deleteBucket = async (exchange: Exchange): Promise<void> => {
  const { disk } = exchange
  const bucket = await needBucket(exchange)
  if (!(await isEmpty(disk, bucket)))
    throw refuse('BucketNotEmpty', undefined, { BucketName: bucket })
  try {
    await removeEmpty(bucketPath(disk, bucket))
  } catch (error) {
    if (errnoOf(error) === 'ENOTEMPTY')
      throw refuse('BucketNotEmpty', undefined, { BucketName: bucket })
    if (errnoOf(error) !== 'ENOENT') throw error
  }
  // An object aside may have come after the first look: its writer has seen the bucket, so the bucket stays.
  if (!(await isEmpty(disk, bucket))) {
    await ifNew(mkdir(bucketPath(disk, bucket), { mode: 0o700 }))
    throw refuse('BucketNotEmpty', undefined, { BucketName: bucket })
  }
  const left = [
    asideRoot(disk, bucket),
    metaRoot(disk, bucket),
    join(disk.hidden, 'uploads', bucket),
  ]
  for (const path of left) await rm(path, { recursive: true, force: true })
  await rm(join(disk.hidden, 'cors', `${bucket}.json`), { force: true })
  await syncFolder(disk, disk.folder)
  answer(exchange, 204)
}
