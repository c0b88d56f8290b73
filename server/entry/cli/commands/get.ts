/** `holdfast get`: files of a backup onto this machine, whatever server they are from. */
import { atDesk, type Common, type Register, remote } from '../desk.ts'
import { findBackup } from '../find.ts'
import { here, type HereFlags, readHere } from '../read-here.ts'

export const registerGet: Register = (program, parts, done) => {
  here(
    remote(program.command('get'))
      .description('Fetch files of a backup to this machine.')
      .argument('<backup>', 'id, name of a job (its newest backup), or "latest"')
      .argument('[paths...]', 'files and folders; everything if left out')
      .option('--to <folder>', 'empty or new folder of this machine', 'restored'),
  ).action(async (name: string, paths: string[], flags: Common & HereFlags & { to: string }) =>
    done(
      await atDesk(parts, flags, async (desk) => {
        const backup = await findBackup(desk.api, name, desk.stop)
        return readHere(desk, { backup, paths, to: flags.to }, flags)
      }),
    ),
  )
}
