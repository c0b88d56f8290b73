/** `holdfast pause`, `resume`, `delete`, `undelete`: what becomes of one backup. */
import { Backup } from '#shared/api/backups.ts'
import { fail } from '#shared/errors.ts'
import { localTime } from '#shared/table.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT } from '../exit-codes.ts'
import { findBackup, findOpenBackup } from '../find.ts'

const hold = async (
  desk: Desk,
  [name, wish]: readonly [string, 'pause' | 'resume'],
): Promise<number> => {
  const { api, screen, stop } = desk
  const { id } = await findOpenBackup(api, name, stop)
  const backup = await api.post(`/v1/backups/${id}/${wish}`, {}, Backup, stop)
  if (desk.json) desk.print(backup)
  else if (backup.paused_at === null) screen.say(`Backup ${id} goes on.`)
  else
    screen.say(
      `Backup ${id} is paused since ${localTime(backup.paused_at)}. Go on: holdfast resume ${id}`,
    )
  return EXIT.done
}

const nameOf = ({ job_name, id, started_at, created_at }: Backup): string =>
  `backup ${id} of ${job_name}, ${localTime(started_at ?? created_at)}`

/** Nobody is asked who cannot answer: a script says `--yes`. */
const confirm = async ({ parts, json }: Desk, backup: Backup): Promise<void> => {
  if (json || !process.stdin.isTTY)
    throw fail('WRONG_USE', {
      problem: 'Nobody is there to be asked whether it shall be deleted: say --yes',
    })
  const answer = await parts.ask(`Delete ${nameOf(backup)}? [y/N] `)
  if (!/^y(es)?$/i.test(answer.trim())) throw fail('CANCELED')
}

type DeleteFlags = Common & { readonly yes?: boolean }

const remove = async (desk: Desk, name: string, { yes }: DeleteFlags): Promise<number> => {
  const { api, screen, stop } = desk
  const backup = await findBackup(api, name, stop)
  if (yes !== true) await confirm(desk, backup)
  await api.remove(`/v1/backups/${backup.id}`, stop)
  if (desk.json) desk.print({ id: backup.id, deleted: true })
  else {
    screen.say(`Deleted ${nameOf(backup)}.`)
    screen.say(`For 72 hours it can be brought back: holdfast undelete ${backup.id}`)
  }
  return EXIT.done
}

const bringBack = async (desk: Desk, id: string): Promise<number> => {
  const { api, screen, stop } = desk
  const path = `/v1/backups/${encodeURIComponent(id)}/undelete`
  const backup = await api.post(path, {}, Backup, stop)
  if (desk.json) desk.print(backup)
  else screen.say(`There is ${nameOf(backup)} again.`)
  return EXIT.done
}

const HOLDS = [
  ['pause', 'Have a running backup wait; it keeps its place and what it has sent.'],
  ['resume', 'Let a paused backup go on.'],
] as const

export const registerHold: Register = (program, parts, done) => {
  for (const [wish, what] of HOLDS)
    remote(program.command(wish))
      .description(what)
      .argument('<backup>', 'id, or name of a job: the backup of it that is under way')
      .action(async (name: string, flags: Common) =>
        done(await atDesk(parts, flags, async (desk) => hold(desk, [name, wish]))),
      )
  remote(program.command('delete'))
    .description('Delete a backup; for 72 hours it can be brought back.')
    .argument('<backup>', 'id, name of a job (its newest backup), or "latest"')
    .option('--yes', 'do not ask')
    .action(async (name: string, flags: DeleteFlags) =>
      done(await atDesk(parts, flags, async (desk) => remove(desk, name, flags))),
    )
  remote(program.command('undelete'))
    .description('Bring a deleted backup back.')
    .argument('<id>', 'of the backup')
    .action(async (id: string, flags: Common) =>
      done(await atDesk(parts, flags, async (desk) => bringBack(desk, id))),
    )
}
