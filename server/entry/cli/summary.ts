/** What people read when a backup is over: at most 80 columns, and every command can be pasted. */
import { relative } from 'node:path'
import type { Backup } from '#shared/api/backups.ts'
import { shown } from '#shared/shown.ts'
import { formatBytes, formatCount, formatSpan, type Ms } from '#shared/units.ts'

const spanOf = (backup: Backup): Ms | null =>
  backup.started_at === null || backup.completed_at === null
    ? null
    : Date.parse(backup.completed_at) - Date.parse(backup.started_at)

const row = (name: string, value: string): string => `  ${name.padEnd(12)}${value}`

const HEADS: Readonly<Record<Backup['status'], string>> = {
  pending: 'Backup is waiting',
  running: 'Backup is running',
  completed: 'Backup completed',
  partial: 'Backup completed in part: some files could not be read',
  failed: 'Backup FAILED',
  canceled: 'Backup was canceled',
}

const SHOWN_ERRORS = 5

const numbers = (backup: Backup): string[] => {
  const { counts, bytes } = backup
  if (counts === null) return []
  const others = counts.directories + counts.others
  return [
    row('files', `${formatCount(counts.files)}, and ${formatCount(others)} folders and others`),
    row(
      'changed',
      `${formatCount(counts.changed)} (${formatCount(counts.unchanged)} were as before)`,
    ),
    row('source', formatBytes(bytes.source)),
    row('new content', formatBytes(bytes.new)),
    row('stored', `${formatBytes(bytes.stored)}, compressed and encrypted`),
  ]
}

const errors = (backup: Backup): string[] => {
  if (backup.error_count === 0) return []
  const first = backup.errors.slice(0, SHOWN_ERRORS)
  const more = backup.error_count - first.length
  return [
    row('errors', formatCount(backup.error_count)),
    ...first.map(({ path, problem }) => `    ${shown(path)}: ${shown(problem)}`),
    ...(more > 0 ? [`    and ${formatCount(more)} more`] : []),
  ]
}

export const backupLines = (backup: Backup): string[] => {
  const span = spanOf(backup)
  const good = backup.status === 'completed' || backup.status === 'partial'
  return [
    `${HEADS[backup.status]}${good && span !== null ? ` in ${formatSpan(span)}` : ''}`,
    ...(backup.error === null ? [] : [`  ${shown(backup.error.message)}`]),
    ...(good ? numbers(backup) : []),
    ...errors(backup),
  ]
}

const quote = (word: string): string =>
  /^[A-Za-z0-9_./:@=,+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

/** The shorter spelling of a path for a command that is pasted in the same folder. */
const near = (path: string, folder: string): string => {
  const from = relative(folder, path)
  return quote(from === '' || from.startsWith('..') || from.length > path.length ? path : from)
}

export type Directions = {
  readonly url: string
  readonly token: string
  /** The `holdfast` program as plain Node runs it. */
  readonly launcher: string
  /** Folder with the vaults, when it is on this machine. */
  readonly bucket: string | null
  /** File with the kit, when it was written to one. */
  readonly kit: string | null
  readonly paths: readonly string[]
  readonly folder: string
  /** Whether the API goes on answering after this. */
  readonly answers: boolean
  /** Whether this process goes on until Ctrl-C. */
  readonly stays: boolean
}

/** How to go on: look, restore, back up again. */
export const directionLines = (to: Directions): string[] => {
  const token = near(to.token, to.folder)
  const identity = to.kit === null ? 'KIT' : near(to.kit, to.folder)
  return [
    ...(to.answers
      ? [
          row('API', to.url),
          row('token', `${to.token} (all rights: keep it to yourself)`),
          '',
          'Look at the backups:',
          `  curl -sH "Authorization: Bearer $(cat ${token})" \\`,
          `    ${to.url}/v1/backups`,
        ]
      : []),
    ...(to.bucket === null
      ? []
      : [
          identity === 'KIT'
            ? 'Restore without the control plane (KIT: the file with your recovery kit):'
            : 'Restore without the control plane, with your recovery kit:',
          `  node ${near(to.launcher, to.folder)} open \\`,
          `    ${near(to.bucket, to.folder)} --identity ${identity} restore restored`,
        ]),
    ...(to.paths.length === 0
      ? ['Back up some folders:', '  npm start -- /etc /home']
      : [
          'Back up again (only what changed is read and sent):',
          `  npm start -- ${to.paths.map((path) => near(path, to.folder)).join(' ')}`,
        ]),
    ...(to.stays ? ['', 'Running. Press Ctrl-C to stop.'] : []),
  ]
}
