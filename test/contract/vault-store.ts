/** The sentences of `VaultStore` (server/ports.ts) that go beyond those of shared/store.ts. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemRandom } from '#server/io/random.ts'
import type { VaultStore } from '#server/ports.ts'
import { MiB } from '#shared/units.ts'
import { putGranted } from '../support/scripted-agent.ts'
import { eventually } from '../support/wait.ts'

export type OpenedVaultStore = { readonly store: VaultStore; close(): Promise<void> }

export const vaultStoreContract = (name: string, open: () => Promise<OpenedVaultStore>): void => {
  const stop = new AbortController().signal

  describe(`a store of vaults (${name})`, () => {
    let opened: OpenedVaultStore
    let store: VaultStore
    const body = systemRandom(1000)
    const object = {
      key: "vaults/v/packs/a b'(1)+ü.age",
      size: body.length,
      sha256: createHash('sha256').update(body).digest('base64url'),
    }
    beforeAll(async () => {
      opened = await open()
      ;({ store } = opened)
    })
    afterAll(async () => opened.close())

    test('lets whoever has a grant put exactly these bytes', async () => {
      const grant = store.sign(object)
      const { status } = await putGranted(grant, systemRandom(1000))
      expect(status).toBeGreaterThanOrEqual(400)
      expect(await store.head(object.key, stop)).toBeNull()
      expect(await putGranted(grant, body)).toMatchObject({ status: 200 })
      expect(await store.head(object.key, stop)).toMatchObject({ size: body.length })
    })

    test('lets whoever has the URL read the object, under its name, for its time, and nothing else', async () => {
      await store.put(object.key, body, { ifAbsent: false }, stop)
      const disposition = 'attachment; filename="x"'
      const url = store.signGet({ key: object.key, expiresIn: 60, disposition })
      const answer = await fetch(url)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-disposition')).toBe(disposition)
      expect(Buffer.from(await answer.arrayBuffer()).equals(Buffer.from(body))).toBe(true)
      for (const changed of [
        url.replace('%22x%22', '%22y%22'),
        url.replace('X-Amz-Expires=60', 'X-Amz-Expires=600'),
        url.replace('packs', 'trees'),
      ]) {
        expect(changed).not.toBe(url)
        expect((await fetch(changed)).status).toBe(403)
      }
      expect((await fetch(url, { method: 'PUT', body: 'x' })).status).toBe(403)
      const short = store.signGet({ key: object.key, expiresIn: 1, disposition })
      await eventually('the URL ends', async () => (await fetch(short)).status === 403)
    })

    test('takes an object part by part, and has nothing of it before its end', async () => {
      const key = `downloads/${'ab'.repeat(16)}`
      const first = systemRandom(5 * MiB)
      const last = systemRandom(77)
      const upload = await store.upload(key, stop)
      await upload.part(2, last, stop)
      await upload.part(1, first, stop)
      expect(await store.head(key, stop)).toBeNull()
      await upload.complete(stop)
      const whole = await store.get(key, { start: 0 }, stop)
      expect(Buffer.concat([first, last]).equals(whole!)).toBe(true)
      // The answer of the first was lost: the upload is gone, and the object is there.
      await upload.complete(stop)
      await store.remove([key], stop)
      await expect(upload.complete(stop)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    })

    test('forgets uploads that nobody completes, of one very name only', async () => {
      const key = `downloads/${'cd'.repeat(16)}`
      const [one, other] = [await store.upload(key, stop), await store.upload(key, stop)]
      const neighbour = await store.upload(`${key}0`, stop)
      await one.part(1, body, stop)
      await neighbour.part(1, body, stop)
      await store.abortUploads(key, stop)
      await expect(one.part(2, body, stop)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
      await expect(other.complete(stop)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
      await one.abort(stop)
      await store.abortUploads(key, stop)
      await neighbour.complete(stop)
      expect(await store.head(`${key}0`, stop)).toMatchObject({ size: body.length })
      await store.remove([`${key}0`], stop)
    })
  })
}
