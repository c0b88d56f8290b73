import { type Database, type DatabaseAddress, openDatabase } from '#server/io/db/open.ts'

/** Names of all tables that are not PostgreSQL's own. */
const tablesOf = async ({ sql }: Database): Promise<string[]> => {
  const rows = await sql.unsafe<{ name: string }[]>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`,
  )
  return rows.map(({ name }) => name)
}

export type Size = { readonly rows: number; readonly bytes: number }

/** Rows of all tables, and what the whole database takes. */
export const sizeOfDatabase = async (database: Database): Promise<Size> => {
  let rows = 0
  for (const name of await tablesOf(database)) {
    const [found] = await database.sql.unsafe<{ n: number }[]>(`select count(*) as n from ${name}`)
    rows += found?.n ?? 0
  }
  const [size] = await database.sql.unsafe<{ bytes: number }[]>(
    'select pg_database_size(current_database()) as bytes',
  )
  return { rows, bytes: size?.bytes ?? 0 }
}

/** Every row of every table as text, bytes in hex: the embedded server comes without pg_dump. */
export const dumpDatabase = async (connect: DatabaseAddress): Promise<string> => {
  const database = openDatabase(connect)
  try {
    const texts: string[] = []
    for (const name of await tablesOf(database)) {
      const rows = await database.sql.unsafe<{ row: string }[]>(
        `select to_jsonb(t)::text as row from ${name} t`,
      )
      texts.push(`-- ${name}`, ...rows.map(({ row }) => row))
    }
    return texts.join('\n')
  } finally {
    await database.close()
  }
}
