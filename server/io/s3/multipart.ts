/** Multipart uploads of a storage. Implements `UploadStore`. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type MultipartUpload,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { fail } from '#shared/errors.ts'
import { withPrefix } from '#shared/format/layout.ts'
import type { ObjectKey } from '#shared/store.ts'
import type { Upload, UploadStore } from '../../ports/uploads.ts'
import {
  statusOf,
  type StorageSettings,
  type StoreClock,
  unavailable,
  withClock,
} from './client.ts'

type Parts = {
  readonly settings: StorageSettings
  readonly client: S3Client
  readonly storeClock: StoreClock
}

type Named = { readonly Bucket: string; readonly Key: string }

const attempt = async <T>(
  { settings, storeClock }: Parts,
  [verb, stop]: readonly [string, AbortSignal],
  call: () => Promise<T>,
): Promise<T> =>
  withClock(storeClock, call).catch((error: unknown) => {
    throw unavailable(settings, verb, [error, stop])
  })

/** An upload that is not there any more has nothing left. */
const abort = async (
  parts: Parts,
  [named, id]: readonly [Named, string],
  stop: AbortSignal,
): Promise<void> => {
  const command = new AbortMultipartUploadCommand({ ...named, UploadId: id })
  await attempt(parts, ['abort an upload', stop], async () =>
    parts.client.send(command, { abortSignal: stop }).catch((error: unknown) => {
      if (statusOf(error) !== 404) throw error
    }),
  )
}

type Sent = { readonly no: number; readonly etag: string; readonly size: number }

/** An answer may be lost after the store has done it: then the upload is gone, and the object is there. */
const complete = async (
  parts: Parts,
  [named, id]: readonly [Named, string],
  [sent, stop]: readonly [readonly Sent[], AbortSignal],
): Promise<void> => {
  const { client } = parts
  const command = new CompleteMultipartUploadCommand({
    ...named,
    UploadId: id,
    MultipartUpload: { Parts: sent.map(({ no, etag }) => ({ PartNumber: no, ETag: etag })) },
  })
  const size = sent.reduce((sum, part) => sum + part.size, 0)
  await attempt(parts, ['complete an upload', stop], async () => {
    try {
      await client.send(command, { abortSignal: stop })
    } catch (error) {
      if (statusOf(error) !== 404) throw error
      const found = await client.send(new HeadObjectCommand(named), { abortSignal: stop })
      if (found.ContentLength !== size) throw error
    }
  })
}

const upload = async (parts: Parts, key: ObjectKey, stop: AbortSignal): Promise<Upload> => {
  const { settings, client } = parts
  const named = { Bucket: settings.bucket, Key: withPrefix(settings.prefix, key) }
  const begun = await attempt(parts, ['begin an upload', stop], async () =>
    client.send(new CreateMultipartUploadCommand(named), { abortSignal: stop }),
  )
  const id = begun.UploadId ?? ''
  const sent: Sent[] = []
  return {
    part: async (no, bytes, end) => {
      const command = new UploadPartCommand({ ...named, UploadId: id, PartNumber: no, Body: bytes })
      const done = await attempt(parts, ['put a part', end], async () =>
        client.send(command, { abortSignal: end }),
      )
      sent.push({ no, etag: done.ETag ?? '', size: bytes.length })
    },
    complete: async (end) => {
      const inOrder = sent.toSorted((a, b) => a.no - b.no)
      await complete(parts, [named, id], [inOrder, end])
    },
    abort: async (end) => abort(parts, [named, id], end),
  }
}

/** A page of the uploads under names that begin with this one. Those under the very name come first. */
const uploadsOf = async (
  parts: Parts,
  named: Named,
  stop: AbortSignal,
): Promise<readonly MultipartUpload[]> => {
  const command = new ListMultipartUploadsCommand({ Bucket: named.Bucket, Prefix: named.Key })
  const page = await attempt(parts, ['list uploads', stop], async () =>
    parts.client.send(command, { abortSignal: stop }),
  )
  return (page.Uploads ?? []).filter(({ Key }) => Key === named.Key)
}

/** More rounds than any crash leaves uploads behind. */
const ROUNDS = 10

const abortUploads = async (parts: Parts, key: ObjectKey, stop: AbortSignal): Promise<void> => {
  const { settings } = parts
  const named = { Bucket: settings.bucket, Key: withPrefix(settings.prefix, key) }
  for (let round = 0; round < ROUNDS; round += 1) {
    const left = await uploadsOf(parts, named, stop)
    if (left.length === 0) return
    for (const { UploadId: id } of left) if (id !== undefined) await abort(parts, [named, id], stop)
  }
  const problem = `uploads of ${key} stay after they were aborted`
  throw fail('STORAGE_UNAVAILABLE', { storage: settings.name, verb: 'abort an upload', problem })
}

export const uploadsTo = (parts: Parts): UploadStore => ({
  upload: async (key, stop) => upload(parts, key, stop),
  abortUploads: async (key, stop) => abortUploads(parts, key, stop),
})
