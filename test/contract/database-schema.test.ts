import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { testDatabase } from '../support/database-template.ts'

const OUR_OWN = ['hf_migrations', 'test_clock']

type Column = { readonly name: string; readonly optional: boolean; readonly nullable: boolean }

/** `type Name = { column: Type … }` of the schema files, which are written so that this reads them. */
const typesIn = (text: string): Map<string, Column[]> => {
  const types = new Map<string, Column[]>()
  for (const [, name = '', body = ''] of text.matchAll(
    /type (\w+) = (?:[\w &\n]*)?\{\n(.*?)\n\s*\}\n/gs,
  )) {
    const columns = [...body.matchAll(/^\s+(\w+): (.+)$/gm)].map(([, column = '', type = '']) => ({
      name: column,
      optional: /^Default/.test(type) || / \| null$/.test(type) || type === 'Json',
      nullable: / \| null$/.test(type) || type === 'Json',
    }))
    types.set(name, columns)
  }
  return types
}

const declared = async (): Promise<ReadonlyMap<string, readonly Column[]>> => {
  const read = async (file: string): Promise<string> =>
    readFile(new URL(`../../server/io/db/${file}`, import.meta.url), 'utf8')
  const files = [
    'schema-backups.ts',
    'schema-deletion.ts',
    'schema-restores.ts',
    'schema-downloads.ts',
    'schema.ts',
  ]
  const text = (await Promise.all(files.map(read))).join('\n')
  const types = typesIn(text)
  const parts = [...(types.get('BackupRun') ?? []), ...(types.get('BackupResult') ?? [])]
  types.set('Backups', [...(types.get('Backups') ?? []), ...parts])
  for (const name of ['Downloads', 'Verifications'])
    types.set(name, [...(types.get(name) ?? []), ...(types.get('Task') ?? [])])
  const [, tables = ''] = /export type Schema = \{\n(.*?)\n\}/s.exec(text) ?? []
  const named = [...tables.matchAll(/^\s+(\w+): (\w+)$/gm)]
  return new Map(named.map(([, table = '', type = '']) => [table, types.get(type) ?? []]))
}

test('the types that statements are written against are the tables of the migrated database', async () => {
  const { db, close } = { ...(await testDatabase()) }
  const { rows } = await sql<Column & { readonly table: string }>`
    select table_name as "table", column_name as name, is_nullable = 'YES' as nullable,
      is_nullable = 'YES' or column_default is not null as optional
    from information_schema.columns where table_schema = 'public'`.execute(db)
  await close()
  const line = (table: string, column: Column): string =>
    `${table}.${column.name}${column.optional ? ' optional' : ''}${column.nullable ? ' nullable' : ''}`
  const there = rows
    .filter(({ table }) => !OUR_OWN.includes(table))
    .map((row) => line(row.table, row))
  const said = [...(await declared())].flatMap(([table, columns]) =>
    columns.map((column) => line(table, column)),
  )
  expect(said.sort()).toEqual(there.sort())
  expect(there.length).toBeGreaterThan(200)
})

test('every table but the list of migrations belongs to an organization', async () => {
  const { db, close } = { ...(await testDatabase()) }
  const { rows } = await sql<{ name: string }>`
    select t.table_name as name from information_schema.tables t
    where t.table_schema = 'public' and t.table_name <> 'organizations' and not exists (
      select 1 from information_schema.columns c
      where c.table_name = t.table_name and c.column_name = 'org_id' and c.is_nullable = 'NO')`.execute(
    db,
  )
  await close()
  expect(rows.map(({ name }) => name).sort()).toEqual(OUR_OWN)
})
