import { test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { openS3Store } from '#server/io/s3/store.ts'
import { objectStoreContract } from './object-store.ts'
import { type OpenedVaultStore, vaultStoreContract } from './vault-store.ts'

/** `http://KEY:SECRET@HOST:PORT/BUCKET`, with key and secret percent-encoded; the bucket is there. */
const VARIABLE = 'HOLDFAST_TEST_S3'
const text = process.env[VARIABLE]

const openAt = async (url: URL, prefix: string): Promise<OpenedVaultStore> => {
  const store = openS3Store(
    {
      name: 'elsewhere',
      endpoint: url.origin,
      region: 'us-east-1',
      bucket: url.pathname.slice(1),
      prefix,
      pathStyle: true,
      credentials: {
        accessKeyId: decodeURIComponent(url.username),
        secretAccessKey: decodeURIComponent(url.password),
      },
    },
    true,
    systemClock,
  )
  return Promise.resolve({
    store,
    close: async () => {
      store.close()
      return Promise.resolve()
    },
  })
}

if (text === undefined)
  test.skip(`S3 elsewhere keeps the promises of an object store (needs ${VARIABLE})`, () =>
    undefined)
else
  for (const prefix of ['', 'pre/fix']) {
    const name = `S3 elsewhere, prefix "${prefix}"`
    objectStoreContract(name, async () => openAt(new URL(text), prefix))
    vaultStoreContract(name, async () => openAt(new URL(text), prefix))
  }
