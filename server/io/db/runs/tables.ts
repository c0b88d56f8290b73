/** Where each kind of run is kept. The columns of a run have the same names in both tables. */
import { type RawBuilder, sql } from 'kysely'
import { parseId } from '#shared/ids.ts'
import { backupRun, restoreRun, type RunRef } from '../../../core/backup-machine.ts'

export type Kind = RunRef['kind']

export const KINDS: readonly Kind[] = ['backup', 'restore']

export const TABLES = {
  backup: 'backups',
  restore: 'restores',
} as const satisfies Readonly<Record<Kind, string>>

export type RunTable = (typeof TABLES)[Kind]

type Names = {
  readonly runs: RawBuilder<unknown>
  readonly events: RawBuilder<unknown>
  readonly logs: RawBuilder<unknown>
  /** The column of events and logs that says which run they are of. */
  readonly of: RawBuilder<unknown>
}

const names = (kind: Kind): Names => ({
  runs: sql.table(TABLES[kind]),
  events: sql.table(`${kind}_events`),
  logs: sql.table(`${kind}_logs`),
  of: sql.ref(`${kind}_id`),
})

/** The same as parts of a statement. */
export const NAMES: Readonly<Record<Kind, Names>> = {
  backup: names('backup'),
  restore: names('restore'),
}

export const refOf = (kind: Kind, id: string): RunRef =>
  kind === 'backup' ? backupRun(parseId(id, 'id')) : restoreRun(parseId(id, 'id'))
