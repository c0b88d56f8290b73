import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { closeDisk, openDisk, type Disk } from '#server/io/embedded/s3/disk.ts'
import { lookAt, publish, removeObject } from '#server/io/embedded/s3/objects.ts'
import { Refusal } from '#server/io/embedded/s3/refusal.ts'
import { openTemp } from '#server/io/embedded/s3/temps.ts'
import { keptLog, shiftedClock, temporaryFolder } from '../support/s3-server.ts'

/**
 * Two writers that disagree about where a key belongs, because folders come and go between their looks: stopped at exactly
 * the moments that chance hits once in a million times.
 */
const bucket = 'places'
let folder = ''
let one: Disk
let other: Disk

beforeEach(async () => {
  folder = await temporaryFolder()
  await mkdir(join(folder, bucket))
  // Two, as two processes have them: nothing but the folder is common.
  one = await openDisk(folder, shiftedClock(), keptLog([]))
  other = await openDisk(folder, shiftedClock(), keptLog([]))
})

afterEach(async () => {
  await closeDisk(one)
  await closeDisk(other)
  await rm(folder, { recursive: true })
})

/** The same disk, which does `meanwhile` the first time that it has made a folder for an object. */
const interrupted = (disk: Disk, meanwhile: () => Promise<void>): Disk => {
  let left = 1
  return {
    ...disk,
    locked: async (key, work) =>
      disk.locked(key, async () => {
        armed = true
        return work()
      }),
    syncs: async (work) => {
      const done = await work()
      if (armed && left > 0) {
        left = 0
        await meanwhile()
      }
      return done
    },
  }
}
let armed = false

beforeEach(() => {
  armed = false
})

const create = async (disk: Disk, key: string, text: string): Promise<string> => {
  const temp = await openTemp(disk.temps)
  try {
    await temp.write(Buffer.from(text))
    const metadata = { etag: text, headers: {}, user: {}, checksum: null }
    await publish(disk, { bucket, key }, temp, { metadata, condition: { kind: 'absent' } })
    return 'won'
  } catch (error) {
    if (error instanceof Refusal) return error.code
    throw error
  } finally {
    await temp.discard()
  }
}

const remove = async (disk: Disk, key: string): Promise<void> => {
  await removeObject(disk, { bucket, key }, { kind: 'none' })
}

test('a writer on its way aside finds that another has won the plain place meanwhile, and loses', async () => {
  await create(other, 'x/1', 'makes x a folder')
  let second = ''
  const slow = interrupted(one, async () => {
    await remove(other, 'x/1')
    second = await create(other, 'x', 'second')
  })
  expect(await create(slow, 'x', 'first')).toBe('PreconditionFailed')
  expect(second).toBe('won')
  expect((await lookAt(one, { bucket, key: 'x' }))?.metadata.etag).toBe('second')
  await remove(one, 'x')
  expect(await lookAt(other, { bucket, key: 'x' })).toBeNull()
})

test('a writer in the plain place finds that another has won aside meanwhile, and withdraws', async () => {
  let second = ''
  const slow = interrupted(one, async () => {
    await create(other, 'd/x/1', 'makes d/x a folder')
    second = await create(other, 'd/x', 'second')
    await remove(other, 'd/x/1')
  })
  expect(await create(slow, 'd/x', 'first')).toBe('ConditionalRequestConflict')
  expect(second).toBe('won')
  expect((await lookAt(one, { bucket, key: 'd/x' }))?.metadata.etag).toBe('second')
  await remove(one, 'd/x')
  expect(await lookAt(other, { bucket, key: 'd/x' })).toBeNull()
})

test('a removal that takes the folder away under a writer does not make it fail', async () => {
  await create(other, 'deep/folder/old', 'old')
  const slow = interrupted(one, async () => remove(other, 'deep/folder/old'))
  expect(await create(slow, 'deep/folder/new/object', 'new')).toBe('won')
  expect(await readdir(join(folder, bucket, 'deep', 'folder'))).toEqual(['new'])
})

test('a losing writer leaves neither bytes nor a record behind', async () => {
  expect(await create(one, 'taken', 'first')).toBe('won')
  expect(await create(other, 'taken', 'second')).toBe('PreconditionFailed')
  const hidden = join(folder, '.holdfast-s3')
  const records = await readdir(join(hidden, 'meta', bucket), {
    recursive: true,
    withFileTypes: true,
  })
  expect(records.filter((entry) => entry.isFile()).length).toBe(1)
  expect(await readdir(other.temps)).toEqual([])
})
