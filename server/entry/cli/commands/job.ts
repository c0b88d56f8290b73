/** `holdfast job`: what is backed up, from where, to where. */
import { Job, type JobInput } from '#shared/api/jobs.ts'
import { listOf } from '../api-client.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT } from '../exit-codes.ts'
import { findServer } from '../find.ts'
import { findTarget } from '../find-target.ts'
import { fail } from '#shared/errors.ts'
import { parseSize } from '#shared/units.ts'
import { tableLines } from '#shared/table.ts'

const COLUMNS = [
  { head: 'NAME', least: 10 },
  { head: 'VERSION', right: true },
  { head: 'PATHS', least: 10 },
  { head: 'ID' },
] as const

const pathsOf = ({ sources }: Job): string => sources.flatMap(({ paths }) => paths).join(' ')

const list = async (desk: Desk): Promise<number> => {
  const { api, screen, stop } = desk
  const jobs = await api.get('/v1/jobs?limit=100&sort=name', listOf(Job), stop)
  if (desk.json) desk.print(jobs)
  else {
    const rows = jobs.map((job) => [job.name, String(job.version), pathsOf(job), job.id])
    for (const line of tableLines(COLUMNS, rows)) screen.say(line)
  }
  return EXIT.done
}

type AddFlags = Common & {
  readonly server: string
  readonly exclude?: string[]
  readonly excludeCaches?: boolean
  readonly excludeIfPresent?: string[]
  readonly maxFileSize?: string
  readonly oneFileSystem?: boolean
  readonly storage?: string
  readonly key?: string
}

const sizeOf = (text: string): number => {
  const size = parseSize(text)
  if (size === null)
    throw fail('WRONG_USE', { problem: '--max-file-size is a number of bytes, or one like 20MiB' })
  return size
}

const optionsOf = (flags: AddFlags): Partial<JobInput['sources'][number]> => ({
  ...(flags.excludeCaches === true ? { exclude_caches: true } : {}),
  ...(flags.excludeIfPresent === undefined ? {} : { exclude_if_present: flags.excludeIfPresent }),
  ...(flags.maxFileSize === undefined ? {} : { max_file_size: sizeOf(flags.maxFileSize) }),
  ...(flags.oneFileSystem === true ? { one_file_system: true } : {}),
})

const add = async (
  desk: Desk,
  [name, paths]: readonly [string, string[]],
  flags: AddFlags,
): Promise<number> => {
  const { api, screen, stop } = desk
  const server = await findServer(api, flags.server, stop)
  const { storage, key } = await findTarget(api, flags, stop)
  const input: JobInput = {
    name,
    server_id: server.id,
    storage_id: storage.id,
    encryption_key_id: key.id,
    sources: [
      {
        type: 'files',
        paths,
        ...(flags.exclude === undefined ? {} : { exclude: flags.exclude }),
        ...optionsOf(flags),
      },
    ],
  }
  const job = await api.post('/v1/jobs', input, Job, stop)
  if (desk.json) desk.print(job)
  else screen.say(`Added job ${job.id}. Back it up: holdfast backup '${job.name}'`)
  return EXIT.done
}

const collect = (value: string, before: string[] = []): string[] => [...before, value]

export const registerJob: Register = (program, parts, done) => {
  const job = program.command('job').description('List and add jobs.')
  remote(job.command('list', { isDefault: true }))
    .description('List the jobs.')
    .action(async (flags: Common) => done(await atDesk(parts, flags, list)))
  remote(job.command('add'))
    .description('Say what is to be backed up.')
    .argument('<name>')
    .argument('<paths...>', 'absolute paths on the server')
    .requiredOption('--server <server>', 'name or id')
    .option('--exclude <pattern>', 'what is left out, as in a .gitignore (repeatable)', collect)
    .option('--exclude-caches', 'leave out what lies beside a CACHEDIR.TAG')
    .option(
      '--exclude-if-present <name>',
      'leave out what lies beside such a file (repeatable)',
      collect,
    )
    .option('--max-file-size <size>', 'leave out larger files (20MiB)')
    .option('--one-file-system', 'leave out what is mounted below the paths')
    .option('--storage <storage>', 'where to, if there are several')
    .option('--key <key>', 'encrypted to what, if there are several')
    .action(async (name: string, paths: string[], flags: AddFlags) =>
      done(await atDesk(parts, flags, async (desk) => add(desk, [name, paths], flags))),
    )
}
