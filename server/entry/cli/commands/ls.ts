/** `holdfast ls`: what a backup holds. */
import { type BackupFile, BackupFiles } from '#shared/api/files.ts'
import { CATALOGUE } from '#shared/errors.ts'
import { formatBytes } from '#shared/units.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT } from '../exit-codes.ts'
import { findBackup } from '../find.ts'
import { localTime, plain } from '#shared/table.ts'

type Flags = Common & { readonly search?: string }

const PAGE = '100'

const TYPES: Readonly<Record<BackupFile['type'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  char: 'c',
  block: 'b',
  socket: 's',
}

/** Like `ls -l`: `-0644 root:root   1.2 KiB 2026-11-21 13:05 name -> target`. */
const lineOf = (file: BackupFile, name: string): string => {
  const owner = `${file.user ?? String(file.uid)}:${file.group ?? String(file.gid)}`
  const size = file.size === null ? '' : formatBytes(file.size)
  const target = file.target === undefined ? '' : ` -> ${file.target}`
  const note = file.skipped === undefined ? '' : ` (not in the backup: ${file.skipped})`
  return plain(
    `${TYPES[file.type]}${file.mode} ${owner.padEnd(16)} ${size.padStart(10)} ${localTime(file.mtime)} ${name}${target}${note}`,
  )
}

const list = async (
  desk: Desk,
  [backupName, path]: readonly [string, string],
  { search }: Flags,
): Promise<number> => {
  const { api, screen, stop } = desk
  const backup = await findBackup(api, backupName, stop)
  const query = new URLSearchParams({ path, limit: PAGE })
  if (search !== undefined) query.set('search', search)
  let lost = 0
  for (;;) {
    const address = `/v1/backups/${backup.id}/files?${query.toString()}`
    const { data, meta } = await api.answer(address, BackupFiles, stop)
    for (const file of data)
      if (desk.json) desk.print(file)
      else screen.say(lineOf(file, search === undefined ? file.name : file.path))
    lost += meta.lost.length
    for (const { from, to, problem } of meta.lost)
      process.stderr.write(
        plain(`! lost: every entry from ${from} up to ${to ?? 'the end'}: ${problem}`) + '\n',
      )
    if (meta.next_cursor === null) break
    query.set('cursor', meta.next_cursor)
  }
  return lost === 0 ? EXIT.done : CATALOGUE.DAMAGED.exit
}

export const registerLs: Register = (program, parts, done) => {
  remote(program.command('ls'))
    .description('List a folder of a backup, or search it.')
    .argument('<backup>', 'id, name of a job (its newest backup), or "latest"')
    .argument('[path]', 'folder', '/')
    .option('--search <text>', 'names that contain this, below the folder')
    .action(async (backup: string, path: string, flags: Flags) =>
      done(await atDesk(parts, flags, async (desk) => list(desk, [backup, path], flags))),
    )
}
