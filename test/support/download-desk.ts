/** Asking for downloads in tests: however long this machine takes for them. */
import { expect } from 'vitest'
import type { Download } from '#shared/api/downloads.ts'
import { DOWNLOADS } from '#shared/format/layout.ts'
import type { DownloadId } from '#shared/ids.ts'
import { type Answer, dataOf, errorOf } from './answers.ts'
import type { ReadingWorld } from './stored-vault.ts'
import { eventually } from './wait.ts'

export type DownloadDesk = {
  ask(backup: string, body?: object, token?: string): Promise<Answer>
  /** The download once it is over. */
  settled(id: string): Promise<Download>
  linksOf(answer: Answer): Promise<Readonly<Record<string, string>>>
  /** Why it failed, whether that was known at once or later. */
  failureOf(answer: Answer): Promise<{ readonly code: string; readonly message: string }>
  /** The download that was asked for last, removed or not. */
  newest(): Promise<DownloadId>
  /** Every name that it was to write. */
  keysOf(download: DownloadId): Promise<readonly string[]>
  /** Whether there are such names, and nothing lies under them. */
  areGone(keys: readonly string[]): Promise<boolean>
}

export const fetched = async (url: string): Promise<Buffer> => {
  const answer = await fetch(url)
  expect(answer.status).toBe(200)
  return Buffer.from(await answer.arrayBuffer())
}

export const downloadDesk = ({ api, database, storage }: ReadingWorld): DownloadDesk => {
  const settled = async (id: string): Promise<Download> =>
    eventually('the download is over', async () => {
      const shown = dataOf(await api.call('GET', `/v1/downloads/${id}`)) as unknown as Download
      return shown.status === 'pending' ? null : shown
    })
  return {
    ask: async (backup, body = {}, token) =>
      api.call('POST', `/v1/backups/${backup}/download`, {
        body,
        ...(token === undefined ? {} : { token }),
      }),
    settled,
    linksOf: async (answer) => {
      if (answer.status === 200) return dataOf(answer) as Record<string, string>
      expect([answer.status, answer.body]).toEqual([202, expect.anything()])
      return (await settled(String(dataOf(answer)['id']))).links
    },
    failureOf: async (answer) => {
      if (answer.status !== 202) return errorOf(answer)
      const { status, error } = await settled(String(dataOf(answer)['id']))
      expect(status).toBe('failed')
      return error!
    },
    newest: async () =>
      (
        await database.db
          .selectFrom('downloads')
          .select('id')
          .orderBy('created_at', 'desc')
          .limit(1)
          .executeTakeFirstOrThrow()
      ).id,
    keysOf: async (download) =>
      (
        await database.db
          .selectFrom('download_objects')
          .select('object_key')
          .where('download_id', '=', download)
          .execute()
      ).map(({ object_key }) => object_key),
    areGone: async (keys) => {
      const store = await api.stores.open(storage)
      const there = await Array.fromAsync(store.list(DOWNLOADS, new AbortController().signal))
      return keys.length > 0 && !keys.some((key) => there.includes(key))
    },
  }
}
