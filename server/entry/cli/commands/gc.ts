/** `holdfast gc`: what can be deleted of a storage, and deleting it. */
import { GcReport } from '#shared/api/gc.ts'
import { localTime, size, tableLines } from '#shared/table.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT } from '../exit-codes.ts'
import { findTargetStorage } from '../find-target.ts'

type GcFlags = Common & { readonly dryRun?: boolean }

const COLUMNS = [
  { head: 'VAULT', least: 8 },
  { head: 'NEEDED', right: true },
  { head: 'TO CONDEMN', right: true },
  { head: 'WAITING', right: true },
  { head: 'TO DELETE', right: true },
  { head: 'LAST' },
] as const

const show = ({ screen }: Desk, report: GcReport): void => {
  const rows = report.vaults.map((vault) => [
    vault.vault_id,
    size(vault.needed.bytes),
    size(vault.condemn.bytes),
    size(vault.waiting.bytes),
    size(vault.delete.bytes),
    localTime(vault.last_finished_at),
  ])
  for (const line of tableLines(COLUMNS, rows)) screen.say(line)
  const { stored, needed, condemn, delete: gone } = report
  screen.say(
    `${size(stored.bytes)} in ${String(stored.objects)} objects, of which ${size(needed.bytes)} are needed;` +
      ` ${size(condemn.bytes)} to condemn, ${size(gone.bytes)} to delete now.`,
  )
  const unknown = report.vaults.reduce((sum, vault) => sum + vault.unknown_objects, 0)
  if (unknown > 0)
    screen.say(`${String(unknown)} objects are not in the catalog: they are left where they are.`)
  for (const { vault_id, error } of report.vaults)
    if (error !== null) screen.say(`${vault_id}: ${error.message}`)
  if (!report.dry_run) screen.say('The collection has begun; nothing is downloaded for it.')
}

const collect = async (desk: Desk, flags: GcFlags, name?: string): Promise<number> => {
  const { api, stop } = desk
  const { id } = await findTargetStorage(api, name, stop)
  const body = flags.dryRun === true ? { dry_run: true } : {}
  const report = await api.post(`/v1/storages/${id}/gc`, body, GcReport, stop)
  if (desk.json) desk.print(report)
  else show(desk, report)
  return EXIT.done
}

export const registerGc: Register = (program, parts, done) => {
  remote(program.command('gc'))
    .description('Delete what no backup needs any more; nothing is downloaded for it.')
    .argument('[storage]', 'name or id; the only one if left out')
    .option('--dry-run', 'only say what would be done')
    .action(async (name: string | undefined, flags: GcFlags) =>
      done(await atDesk(parts, flags, async (desk) => collect(desk, flags, name))),
    )
}
