import { type DatabaseAddress, openDatabase } from '#server/io/db/open.ts'

/** Every row of every table as text, bytes in hex: the embedded server comes without pg_dump. */
export const dumpDatabase = async (connect: DatabaseAddress): Promise<string> => {
  const database = openDatabase(connect)
  try {
    const tables = await database.sql.unsafe<{ name: string }[]>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
    )
    const texts: string[] = []
    for (const { name } of tables) {
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
