/** `holdfast restore`: files of a backup back onto a server, by its agent. */
import { setTimeout as sleep } from 'node:timers/promises'
import { resolve } from 'node:path'
import { Restore } from '#shared/api/restores.ts'
import { fail } from '#shared/errors.ts'
import { shown } from '#shared/shown.ts'
import { formatBytes, formatCount, SECOND } from '#shared/units.ts'
import { approveRequest } from '../approve-request.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT, exitOfBackup } from '../exit-codes.ts'
import { findBackup, findServer } from '../find.ts'
import { restoreView } from '../screen.ts'

type Flags = Common & {
  readonly to?: string
  readonly server?: string
  readonly conflict?: string
  readonly identity?: string
  readonly wait: boolean
}

const LOOK_EVERY = SECOND / 2

const isOver = ({ status }: Restore): boolean => status !== 'pending' && status !== 'running'

const follow = async ({ api, screen, stop }: Desk, begun: Restore): Promise<Restore> => {
  const view = restoreView(screen)
  try {
    for (let now = begun; ; now = await api.get(`/v1/restores/${begun.id}`, Restore, stop)) {
      view.show(now)
      if (isOver(now)) return now
      await sleep(LOOK_EVERY, undefined, { signal: stop })
    }
  } finally {
    view.end()
  }
}

const HEADS: Readonly<Record<Restore['status'], string>> = {
  pending: 'The restore is waiting',
  running: 'The restore is running',
  completed: 'Restored',
  partial: 'Restored in part: some files could not be',
  failed: 'The restore FAILED',
  canceled: 'The restore was canceled',
}

const sayEnd = (
  { screen }: Desk,
  { status, counts, bytes, error, target_path, id }: Restore,
): void => {
  screen.say(`${HEADS[status]} ${target_path === null ? 'to where it was' : `into ${target_path}`}`)
  if (error !== null) screen.say(`  ${shown(error.message)}`)
  if (counts !== null) {
    const others = counts.directories + counts.others
    screen.say(
      `  files       ${formatCount(counts.files)}, and ${formatCount(others)} folders and others`,
    )
    if (counts.skipped > 0) screen.say(`  left alone  ${formatCount(counts.skipped)}`)
    if (counts.failed > 0) screen.say(`  failed      ${formatCount(counts.failed)}`)
    screen.say(
      `  content     ${formatBytes(bytes.restored)}, fetched ${formatBytes(bytes.fetched)}`,
    )
  }
  screen.say(`  id          ${id}`)
}

const bodyOf = async (
  { api, stop }: Desk,
  paths: readonly string[],
  flags: Flags,
): Promise<Record<string, unknown>> => ({
  ...(paths.length === 0 ? {} : { files: paths }),
  ...(flags.to === undefined ? {} : { target_path: resolve('/', flags.to) }),
  ...(flags.conflict === undefined ? {} : { conflict: flags.conflict }),
  ...(flags.server === undefined
    ? {}
    : { compute: { type: 'agent', server_id: (await findServer(api, flags.server, stop)).id } }),
})

const restore = async (
  desk: Desk,
  [backupName, paths]: readonly [string, readonly string[]],
  flags: Flags,
): Promise<number> => {
  const { api, screen, stop } = desk
  if (flags.to !== undefined && !flags.to.startsWith('/'))
    throw fail('WRONG_USE', { problem: '--to is a folder of the server: give an absolute path' })
  const backup = await findBackup(api, backupName, stop)
  const body = await bodyOf(desk, paths, flags)
  const begun = await api.post(`/v1/backups/${backup.id}/restore`, body, Restore, stop)
  const { open_request_id: request } = begun
  if (request !== null) {
    if (flags.identity !== undefined)
      await approveRequest(desk, request, { identities: [flags.identity], ask: false })
    else screen.say(`It waits until the key's holder approves: holdfast keys approve ${request}`)
  }
  const ended = flags.wait ? await follow(desk, begun) : begun
  if (desk.json) desk.print(ended)
  else if (flags.wait) sayEnd(desk, ended)
  else screen.say(`Started restore ${begun.id}. ${begun.message}`)
  return flags.wait ? exitOfBackup(ended.status) : EXIT.done
}

export const registerRestore: Register = (program, parts, done) => {
  remote(program.command('restore'))
    .description('Restore a backup, or files of it, on a server.')
    .argument('<backup>', 'id, name of a job (its newest backup), or "latest"')
    .argument('[paths...]', 'files, folders, globs; everything if left out')
    .option('--to <folder>', 'folder on the server; else where everything was')
    .option('--server <server>', 'another server than the one of the backup')
    .option('--conflict <how>', 'files that are there: overwrite or skip')
    .option('--identity <file>', "the key's identity, where only you have it")
    .option('--no-wait', 'start it and return')
    .action(async (backup: string, paths: string[], flags: Flags) =>
      done(await atDesk(parts, flags, async (desk) => restore(desk, [backup, paths], flags))),
    )
}
