import { completeUpload } from './complete.ts'
import { copyObject } from './copy.ts'
import { deleteCors, getCors, putCors } from './cors.ts'
import { deleteObjects } from './delete-objects.ts'
import { listPartsOf, listUploadsOf } from './list-uploads.ts'
import { abortUpload, createUpload, uploadPart, uploadPartCopy } from './multipart.ts'
import {
  bucketLocation,
  bucketVersioning,
  createBucket,
  deleteBucket,
  headBucket,
  listBuckets,
} from './buckets.ts'
import type { Action } from './exchange.ts'
import { getObject, getTagging } from './get.ts'
import { listObjects } from './list.ts'
import { deleteObject, putObject } from './put.ts'
import { refuse, type RefusalCode } from './refusal.ts'
import type { S3Request } from './request.ts'

/** Query names that make another operation of the same method and path. */
const SUBRESOURCES = [
  'accelerate',
  'acl',
  'analytics',
  'attributes',
  'cors',
  'delete',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'legal-hold',
  'lifecycle',
  'location',
  'logging',
  'metadataTable',
  'metrics',
  'notification',
  'object-lock',
  'ownershipControls',
  'policy',
  'policyStatus',
  'publicAccessBlock',
  'renameObject',
  'replication',
  'requestPayment',
  'restore',
  'retention',
  'select',
  'session',
  'tagging',
  'torrent',
  'uploadId',
  'uploads',
  'versioning',
  'versions',
  'website',
] as const

type Subresource = (typeof SUBRESOURCES)[number]

/** What may stand behind a method: the level and, for another operation, its query name. */
type Route = `${string} ${'service' | 'bucket' | 'object'}${'' | `?${Subresource}`}`

const ROUTES: Readonly<Partial<Record<Route, Action>>> = {
  'GET service': listBuckets,
  'PUT bucket': createBucket,
  'HEAD bucket': headBucket,
  'DELETE bucket': deleteBucket,
  'GET bucket': listObjects,
  'GET bucket?location': bucketLocation,
  'GET bucket?versioning': bucketVersioning,
  'GET object': getObject,
  'HEAD object': getObject,
  'GET object?tagging': getTagging,
  'PUT object': putObject,
  'DELETE object': deleteObject,
  'POST bucket?delete': deleteObjects,
  'GET bucket?cors': getCors,
  'PUT bucket?cors': putCors,
  'DELETE bucket?cors': deleteCors,
  'GET bucket?uploads': listUploadsOf,
  'POST object?uploads': createUpload,
  'PUT object?uploadId': uploadPart,
  'GET object?uploadId': listPartsOf,
  'POST object?uploadId': completeUpload,
  'DELETE object?uploadId': abortUpload,
}

/** The same with a source instead of a body. */
const COPIES: Readonly<Partial<Record<Route, Action>>> = {
  'PUT object': copyObject,
  'PUT object?uploadId': uploadPartCopy,
}

const isCopy = (request: S3Request): boolean => request.headers.has('x-amz-copy-source')

/** Configurations that this endpoint does not have: asking for one answers that there is none. */
const NONE: Readonly<Partial<Record<Route, RefusalCode>>> = {
  'GET bucket?policy': 'NoSuchBucketPolicy',
  'GET bucket?lifecycle': 'NoSuchLifecycleConfiguration',
  'GET bucket?tagging': 'NoSuchTagSet',
  'GET bucket?encryption': 'ServerSideEncryptionConfigurationNotFoundError',
  'GET bucket?object-lock': 'ObjectLockConfigurationNotFoundError',
  'GET bucket?publicAccessBlock': 'NoSuchPublicAccessBlockConfiguration',
}

const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'DELETE'])

/** The operation that a request names, or `NotImplemented` / `MethodNotAllowed`. */
export const route = (request: S3Request): Action => {
  const level = request.bucket === '' ? 'service' : request.key === '' ? 'bucket' : 'object'
  const names = new Set(request.query.map(([name]) => name))
  const subresource = SUBRESOURCES.find((name) => names.has(name))
  const name: Route =
    subresource === undefined
      ? `${request.method} ${level}`
      : `${request.method} ${level}?${subresource}`
  const action = isCopy(request) ? COPIES[name] : ROUTES[name]
  if (action !== undefined) return action
  const none = NONE[name]
  if (none !== undefined) throw refuse(none)
  if (!METHODS.has(request.method) || level === 'service') throw refuse('MethodNotAllowed')
  throw refuse('NotImplemented', `${name} is not implemented by this endpoint.`)
}
