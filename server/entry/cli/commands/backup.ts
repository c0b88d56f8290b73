/** `holdfast backup` and `holdfast backups`: start one and follow it; look at what there is. */
import { Backup } from '#shared/api/backups.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT, exitOfBackup } from '../exit-codes.ts'
import { findJob, findServer } from '../find.ts'
import { followBackup } from '../follow-backup.ts'
import { listOf } from '../api-client.ts'
import { backupLines } from '../summary.ts'
import { localTime, size, tableLines } from '#shared/table.ts'

type BackupFlags = Common & {
  readonly name?: string
  readonly tag?: readonly string[]
  readonly wait: boolean
}

const wishes = ({ name, tag }: BackupFlags): Record<string, unknown> => ({
  ...(name === undefined ? {} : { name }),
  ...(tag === undefined ? {} : { tags: tag }),
})

const backUp = async (desk: Desk, jobName: string, flags: BackupFlags): Promise<number> => {
  const { api, screen, stop } = desk
  const job = await findJob(api, jobName, stop)
  if (!flags.wait) {
    const started = await api.post(`/v1/jobs/${job.id}/backups`, wishes(flags), Backup, stop)
    if (desk.json) desk.print(started)
    else screen.say(`Started backup ${started.id}.`)
    return EXIT.done
  }
  const whyWaiting = (): string => 'Still waiting for the agent of this server.'
  const backup = await followBackup({ api, screen, whyWaiting, wishes: wishes(flags) }, job, stop)
  for (const line of backupLines(backup)) screen.say(line)
  screen.say(`  id          ${backup.id}`)
  if (desk.json) desk.print(backup)
  return exitOfBackup(backup.status)
}

type ListFlags = Common & {
  readonly job?: string
  readonly server?: string
  readonly status?: string
  readonly tag?: string
  readonly limit: string
}

const COLUMNS = [
  { head: 'STARTED' },
  { head: 'STATUS' },
  { head: 'JOB', least: 8 },
  { head: 'SOURCE', right: true },
  { head: 'ID' },
] as const

const queryOf = async ({ api, stop }: Desk, flags: ListFlags): Promise<string> => {
  const query = new URLSearchParams({ limit: flags.limit })
  if (flags.job !== undefined) query.set('job_id', (await findJob(api, flags.job, stop)).id)
  if (flags.server !== undefined)
    query.set('server_id', (await findServer(api, flags.server, stop)).id)
  if (flags.status !== undefined) query.set('status', flags.status)
  if (flags.tag !== undefined) query.set('tag', flags.tag)
  return query.toString()
}

const list = async (desk: Desk, flags: ListFlags): Promise<number> => {
  const { api, screen, stop } = desk
  const found = await api.get(`/v1/backups?${await queryOf(desk, flags)}`, listOf(Backup), stop)
  if (desk.json) desk.print(found)
  else if (found.length === 0) screen.say('There are no such backups.')
  else
    for (const line of tableLines(
      COLUMNS,
      found.map((one) => [
        localTime(one.started_at ?? one.created_at),
        one.status,
        one.job_name,
        size(one.bytes.source),
        one.id,
      ]),
      Math.max(80, screen.columns),
    ))
      screen.say(line)
  return EXIT.done
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
]

export const registerBackup: Register = (program, parts, done) => {
  remote(program.command('backup'))
    .description('Back up a job now, and show how it goes.')
    .argument('<job>', 'name or id of the job')
    .option('--name <name>', 'name of the backup')
    .option('--tag <tag>', 'manual, hourly, daily, weekly, monthly or yearly', collect)
    .option('--no-wait', 'start it and return')
    .action(async (job: string, flags: BackupFlags) =>
      done(await atDesk(parts, flags, async (desk) => backUp(desk, job, flags))),
    )
  remote(program.command('backups'))
    .description('List backups, the newest first.')
    .option('--job <job>', 'of this job')
    .option('--server <server>', 'of this server')
    .option('--status <status>', 'completed, partial, failed, canceled, …')
    .option('--tag <tag>', 'with this tag')
    .option('--limit <n>', 'at most so many (1 to 100)', '20')
    .action(async (flags: ListFlags) =>
      done(await atDesk(parts, flags, async (desk) => list(desk, flags))),
    )
}
