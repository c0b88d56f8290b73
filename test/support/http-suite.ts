import { testDatabase, type TestDatabase } from './database-template.ts'
import { forFile, later } from './for-file.ts'
import { startTestApp, type TestApp } from './http-app.ts'

type Options = Parameters<typeof startTestApp>[1]

/** The API over a database of its own, for all tests of a file. */
export const apiForFile = (
  options: Options = {},
): { readonly database: TestDatabase; readonly api: TestApp } => {
  const both = forFile(
    async () => {
      const database = await testDatabase()
      return { database, api: await startTestApp({ database }, options) }
    },
    async ({ api, database }) => {
      await api.app.close()
      await database.close()
    },
  )
  return { database: later(() => both.database), api: later(() => both.api) }
}
