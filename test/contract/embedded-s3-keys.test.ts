import { DeleteObjectCommand, DeleteObjectsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'
import { Bucket, refused, handForFile } from '../support/s3-hand.ts'

const { hand, s3, client } = handForFile()

describe('a key', () => {
  test('may be anything of up to 1024 bytes', async () => {
    const strange = [
      'a b+c&d=e?f#g%h',
      '!\'()*~@:,;$[]{}|^`<>"\\',
      'ünïcödé/日本語/🙂',
      '..',
      '../../etc/passwd',
      './x',
      'a//b',
      '/lead',
      'trail/',
      'tab\tnewline\ncr\rbell\u0007',
      'nul\0byte',
      'x'.repeat(256),
      'é'.repeat(511),
      `${'y/'.repeat(510)}yy`,
      'soap',
      'soap/opera',
      'soap/opera/house',
      '.holdfast-s3',
    ]
    for (const [at, key] of strange.entries()) await hand.put(`k/${key}`, `value ${at}`)
    for (const [at, key] of strange.entries()) {
      expect((await hand.read(`k/${key}`)).toString()).toBe(`value ${at}`)
    }
    const expected = strange.map((key) => `k/${key}`)
    const { Contents = [] } = await client.send(
      new ListObjectsV2Command({ Bucket, Prefix: 'k/', EncodingType: 'url' }),
    )
    const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
    expect(Contents.map(({ Key = '' }) => decodeURIComponent(Key))).toEqual(
      expected.toSorted(byBytes),
    )
    const deletable = expected.filter((key) => !/[\0-\x1f]/.test(key))
    const { Deleted = [] } = await client.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: deletable.map((Key) => ({ Key })) } }),
    )
    expect(Deleted.length).toBe(deletable.length)
    for (const Key of expected) await client.send(new DeleteObjectCommand({ Bucket, Key }))
    expect(await hand.keys('k/')).toEqual([])
    expect(await refused(hand.put('z'.repeat(1025), 'x'))).toEqual(['KeyTooLongError', 400])
  })

  test('keeps its bytes when keys become prefixes of others and cease to be', async () => {
    for (const order of [
      ['p', 'p/q', 'p/q/r'],
      ['p/q/r', 'p/q', 'p'],
      ['p/q', 'p', 'p/q/r'],
    ]) {
      for (const key of order) await hand.put(key, `is ${key}`)
      for (const key of order) await hand.put(key, `now ${key}`)
      for (const key of order)
        expect(await refused(hand.put(key, 'no', { IfNoneMatch: '*' }))).toEqual([
          'PreconditionFailed',
          412,
        ])
      expect(await hand.keys('p')).toEqual(expect.arrayContaining(order))
      for (const [at, key] of order.entries()) {
        expect((await hand.read(key)).toString()).toBe(`now ${key}`)
        await client.send(new DeleteObjectCommand({ Bucket, Key: key }))
        expect(await refused(hand.read(key))).toEqual(['NoSuchKey', 404])
        for (const later of order.slice(at + 1))
          expect((await hand.read(later)).toString()).toBe(`now ${later}`)
      }
    }
  })
})

test('nothing here was an error of the endpoint itself', () => {
  expect(s3.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
