import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  type S3Client,
} from '@aws-sdk/client-s3'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { closeDisk, openDisk } from '#server/io/embedded/s3/disk.ts'
import { walkKeys } from '#server/io/embedded/s3/walk.ts'
import { Bucket, refused, startHand, type Hand } from '../support/s3-hand.ts'
import { keptLog, shiftedClock } from '../support/s3-server.ts'

let hand: Hand
let client: S3Client

beforeAll(async () => {
  hand = await startHand()
  client = hand.client
})

afterAll(async () => {
  await hand.s3.close()
})

type Entry = { readonly kind: 'key' | 'prefix'; readonly name: string }

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** What a listing must give, said in the plainest way: sort all, filter, fold. */
const model = (
  all: readonly string[],
  prefix: string,
  delimiter: string,
  after: string,
): readonly Entry[] => {
  const entries: Entry[] = []
  const seen = new Set<string>()
  for (const key of all.toSorted(byBytes)) {
    if (!key.startsWith(prefix) || byBytes(key, after) <= 0) continue
    const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const common = key.slice(0, at + delimiter.length)
    if (at < 0) entries.push({ kind: 'key', name: key })
    else if (!seen.has(common) && common !== after) {
      seen.add(common)
      entries.push({ kind: 'prefix', name: common })
    }
  }
  return entries
}

const decode = (name: string | undefined): string => decodeURIComponent(name ?? '')

type Reply = {
  readonly Contents?: readonly { readonly Key?: string | undefined }[] | undefined
  readonly CommonPrefixes?: readonly { readonly Prefix?: string | undefined }[] | undefined
}

const entriesOf = ({ Contents = [], CommonPrefixes = [] }: Reply): readonly Entry[] =>
  [
    ...Contents.map(({ Key }) => ({ kind: 'key' as const, name: decode(Key) })),
    ...CommonPrefixes.map(({ Prefix }) => ({ kind: 'prefix' as const, name: decode(Prefix) })),
  ].toSorted((a, b) => byBytes(a.name, b.name))

type Ask = { prefix: string; delimiter: string; after: string; size: number }

const all2 = async (bucket: string, { prefix, delimiter, after, size }: Ask): Promise<Entry[]> => {
  const entries: Entry[] = []
  let ContinuationToken: string | undefined
  do {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix,
        Delimiter: delimiter === '' ? undefined : delimiter,
        StartAfter: after === '' ? undefined : after,
        MaxKeys: size,
        EncodingType: 'url',
        ContinuationToken,
      }),
    )
    const found = entriesOf(page)
    expect(page.KeyCount).toBe(found.length)
    expect(found.length).toBeLessThanOrEqual(size)
    entries.push(...found)
    ContinuationToken = page.NextContinuationToken
    expect(page.IsTruncated).toBe(ContinuationToken !== undefined)
  } while (ContinuationToken !== undefined)
  return entries
}

const all1 = async (bucket: string, { prefix, delimiter, after, size }: Ask): Promise<Entry[]> => {
  const entries: Entry[] = []
  let Marker: string | undefined = after
  do {
    const page: Reply & { IsTruncated?: boolean | undefined; NextMarker?: string | undefined } =
      await client.send(
        new ListObjectsCommand({
          Bucket: bucket,
          Prefix: prefix,
          Delimiter: delimiter === '' ? undefined : delimiter,
          Marker: Marker === '' ? undefined : Marker,
          MaxKeys: size,
          EncodingType: 'url',
        }),
      )
    entries.push(...entriesOf(page))
    Marker = page.IsTruncated === true ? decode(page.NextMarker) : undefined
  } while (Marker !== undefined)
  return entries
}

// Few letters, so that keys are prefixes of each other and share folders; some that sort differently in UTF-16 than in UTF-8.
const letter = fc.constantFrom('a', 'b', '/', '.', '-', 'é', '\uffee', '🙂', '\u0001', '%')
const key = fc.array(letter, { minLength: 1, maxLength: 7 }).map((letters) => letters.join(''))

test('listing agrees with the model for any keys, prefix, delimiter, start and page size', async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(key, { minLength: 1, maxLength: 25 }),
      fc.array(
        fc.record({
          prefix: fc.oneof(
            fc.constant(''),
            key.map((text) => Array.from(text).slice(0, 2).join('')),
          ),
          delimiter: fc.constantFrom('', '/', 'a', 'b/'),
          after: fc.oneof(fc.constant(''), key),
          size: fc.integer({ min: 1, max: 30 }),
        }),
        { minLength: 4, maxLength: 4 },
      ),
      async (keys, asks) => {
        run += 1
        const bucket = `listing-${run}`
        await client.send(new CreateBucketCommand({ Bucket: bucket }))
        await Promise.all(keys.map(async (name) => hand.put(name, 'x', { Bucket: bucket })))
        for (const ask of asks) {
          const expected = model(keys, ask.prefix, ask.delimiter, ask.after)
          expect(await all2(bucket, ask)).toEqual(expected)
          expect(await all1(bucket, ask)).toEqual(expected)
        }
      },
    ),
    { numRuns: 25 },
  )
})

test('a folder of more names than are held at once is walked whole and in order', async () => {
  const root = join(hand.s3.folder, Bucket, 'wide')
  const names = Array.from(
    { length: 300 },
    (_, at) => `n${(at * 79) % 300}${at % 3 === 0 ? '/x' : ''}`,
  )
  for (const name of names) {
    await mkdir(join(root, name, '..'), { recursive: true })
    await writeFile(join(root, name), '')
    // Folders without any object: a whole window of them must not look like the end.
    await mkdir(join(root, `n${names.indexOf(name)}-empty`), { recursive: true })
  }
  const disk = await openDisk(hand.s3.folder, shiftedClock(), keptLog([]))
  const expected = names.map((name) => `wide/${name}`).toSorted(byBytes)
  for (const window of [1, 2, 7, 150, 1000]) {
    for (const after of ['', 'wide/n200']) {
      const keys = walkKeys({ ...disk, window }, Bucket, { after, wholly: false }, 'wide/')
      expect(await Array.fromAsync(keys)).toEqual(expected.filter((key) => key > after))
    }
  }
  await closeDisk(disk)
  await rm(root, { recursive: true })
})

test('many keys are listed page by page', async () => {
  const folder = join(hand.s3.folder, Bucket, 'pages')
  await mkdir(folder)
  const names = Array.from({ length: 2500 }, (_, at) => `n${(at * 79) % 2500}`)
  await Promise.all(names.map(async (name) => writeFile(join(folder, name), '')))
  const ask = { prefix: 'pages/', delimiter: '', after: '', size: 1000 }
  const listed = await all2(Bucket, ask)
  expect(listed.map(({ name }) => name)).toEqual(
    names.map((name) => `pages/${name}`).toSorted(byBytes),
  )
  const folded = await all2(Bucket, { ...ask, prefix: '', delimiter: '/' })
  expect(folded).toEqual([{ kind: 'prefix', name: 'pages/' }])
})

test('empty folders, links and other things that are no objects are not listed', async () => {
  const root = join(hand.s3.folder, Bucket)
  await mkdir(join(root, 'odd', 'empty', 'emptier'), { recursive: true })
  await symlink('/etc/passwd', join(root, 'odd', 'link'))
  await symlink('/etc', join(root, 'odd', 'folder-link'))
  await writeFile(Buffer.concat([Buffer.from(join(root, 'odd', 'bad-')), Buffer.from([0xff])]), 'x')
  await hand.put('odd/real', 'x')
  expect(await all2(Bucket, { prefix: 'odd/', delimiter: '', after: '', size: 10 })).toEqual([
    { kind: 'key', name: 'odd/real' },
  ])
  expect(await refused(hand.read('odd/link'))).toEqual(['NoSuchKey', 404])
})

test('a token that we did not give, and a page size that is none, are refused', async () => {
  const list = async (more: object): Promise<readonly [string, number | undefined]> =>
    refused(client.send(new ListObjectsV2Command({ Bucket, ...more })))
  expect(await list({ ContinuationToken: '&&&' })).toEqual(['InvalidArgument', 400])
  expect(await list({ MaxKeys: -1 })).toEqual(['InvalidArgument', 400])
  expect(await list({ Bucket: 'nowhere' })).toEqual(['NoSuchBucket', 404])
  const none = await client.send(new ListObjectsV2Command({ Bucket, MaxKeys: 0 }))
  expect([none.KeyCount, none.IsTruncated]).toEqual([0, false])
  const capped = await client.send(new ListObjectsV2Command({ Bucket, MaxKeys: 5000 }))
  expect([capped.KeyCount, capped.MaxKeys, capped.IsTruncated]).toEqual([1000, 1000, true])
})
