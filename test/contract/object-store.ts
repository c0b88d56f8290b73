/** The sentences of shared/store.ts, for any implementation of it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DeleteStore, ReadStore, WriteStore } from '#shared/store.ts'

export type AnyStore = ReadStore & WriteStore & DeleteStore
export type OpenedStore = { readonly store: AnyStore; close(): Promise<void> }

export const objectStoreContract = (name: string, open: () => Promise<OpenedStore>): void => {
  const stop = new AbortController().signal
  const body = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'utf8'))

  describe(`an object store (${name})`, () => {
    let opened: OpenedStore
    let store: AnyStore
    beforeAll(async () => {
      opened = await open()
      ;({ store } = opened)
    })
    afterAll(async () => opened.close())

    test('gives back at once what was put, whole and in ranges', async () => {
      const put = await store.put('a/one', body('0123456789'), { ifAbsent: false }, stop)
      expect(await store.head('a/one', stop)).toEqual({
        size: 10,
        etag: put === 'exists' ? '' : put.etag,
      })
      const read = async (start: number, end?: number): Promise<string> => {
        const range = end === undefined ? { start } : { start, end }
        return Buffer.from((await store.get('a/one', range, stop)) ?? body('none')).toString()
      }
      expect(await read(0)).toBe('0123456789')
      expect(await read(3, 5)).toBe('34')
      expect(await read(9, 10)).toBe('9')
      await expect(read(5, 11)).rejects.toThrow()
    })

    test('answers null for what is not there', async () => {
      expect(await store.head('not/there', stop)).toBeNull()
      expect(await store.get('not/there', { start: 0 }, stop)).toBeNull()
    })

    test('replaces an object only when it may', async () => {
      await store.put('b', body('first'), { ifAbsent: true }, stop)
      expect(await store.put('b', body('second'), { ifAbsent: true }, stop)).toBe('exists')
      expect(Buffer.from((await store.get('b', { start: 0 }, stop))!).toString()).toBe('first')
      await store.put('b', body('third'), { ifAbsent: false }, stop)
      expect(Buffer.from((await store.get('b', { start: 0 }, stop))!).toString()).toBe('third')
    })

    test('lists every key with the prefix, in the order of their bytes, page by page', async () => {
      const keys = Array.from({ length: 1050 }, (_, n) => `list/${String(n).padStart(5, '0')}`)
      for (let from = 0; from < keys.length; from += 50)
        await Promise.all(
          keys
            .slice(from, from + 50)
            .map(async (key) => store.put(key, body('x'), { ifAbsent: false }, stop)),
        )
      await store.put('lisu', body('x'), { ifAbsent: false }, stop)
      expect(await Array.fromAsync(store.list('list/', stop))).toEqual(keys)
      expect(await Array.fromAsync(store.list('list/0000', stop))).toHaveLength(10)
      await store.remove(keys, stop)
      expect(await Array.fromAsync(store.list('list/', stop))).toEqual([])
      expect(await store.head('lisu', stop)).not.toBeNull()
    })

    test('removes what is there and does not mind what is not', async () => {
      await store.put("odd/ü (1)+~'.age", body('x'), { ifAbsent: false }, stop)
      await store.remove(["odd/ü (1)+~'.age", 'never/was'], stop)
      expect(await store.head("odd/ü (1)+~'.age", stop)).toBeNull()
      await store.remove([], stop)
    })

    test('ends with the reason of the signal', async () => {
      const reason = new Error('enough')
      await expect(store.head('a/one', AbortSignal.abort(reason))).rejects.toBe(reason)
    })
  })
}
