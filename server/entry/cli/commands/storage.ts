/** `holdfast storage`: buckets, and whether they can do what is asked of them. */
import { Storage, StorageReport } from '#shared/api/storages.ts'
import { fail } from '#shared/errors.ts'
import { listOf } from '../api-client.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT } from '../exit-codes.ts'
import { findStorage } from '../find-target.ts'
import { localTime, tableLines } from '#shared/table.ts'

const COLUMNS = [
  { head: 'NAME', least: 8 },
  { head: 'ENDPOINT', least: 10 },
  { head: 'BUCKET', least: 6 },
  { head: 'TESTED' },
] as const

const list = async (desk: Desk): Promise<number> => {
  const { api, screen, stop } = desk
  const storages = await api.get('/v1/storages?limit=100', listOf(Storage), stop)
  if (desk.json) desk.print(storages)
  else {
    const rows = storages.map((one) => [
      one.name,
      one.endpoint,
      one.prefix === '' ? one.bucket : `${one.bucket}/${one.prefix}`,
      localTime(one.tested_at),
    ])
    for (const line of tableLines(COLUMNS, rows)) screen.say(line)
  }
  return EXIT.done
}

type AddFlags = Common & {
  readonly endpoint: string
  readonly region: string
  readonly bucket: string
  readonly prefix?: string
  readonly provider: string
  readonly accessKeyId: string
  readonly secretFile?: string
  readonly virtualHosts?: boolean
}

/** From a file or the keyboard: other users of the machine can read arguments. */
const secretOf = async ({ parts }: Desk, file: string | undefined): Promise<string> => {
  const text =
    file === undefined ? await parts.ask('Secret access key: ') : await parts.readText(file)
  if (text.trim() === '') throw fail('WRONG_USE', { problem: 'The secret access key is empty' })
  return text.trim()
}

const add = async (desk: Desk, name: string, flags: AddFlags): Promise<number> => {
  const { api, screen, stop } = desk
  const storage = await api.post(
    '/v1/storages',
    {
      name,
      provider: flags.provider,
      endpoint: flags.endpoint,
      region: flags.region,
      bucket: flags.bucket,
      ...(flags.prefix === undefined ? {} : { prefix: flags.prefix }),
      access_key_id: flags.accessKeyId,
      secret_access_key: await secretOf(desk, flags.secretFile),
      path_style: flags.virtualHosts !== true,
    },
    Storage,
    stop,
  )
  if (desk.json) desk.print(storage)
  else screen.say(`Added storage ${storage.name}: written to, read from and tested.`)
  return EXIT.done
}

const STEPS = [{ head: 'STEP' }, { head: 'RESULT' }, { head: 'WHAT', least: 20 }] as const

const test = async (desk: Desk, name: string): Promise<number> => {
  const { api, screen, stop } = desk
  const { id } = await findStorage(api, name, stop)
  const report = await api.post(`/v1/storages/${id}/test`, {}, StorageReport, stop)
  if (desk.json) desk.print(report)
  else {
    const rows = report.steps.map((one) => [one.step, one.status, one.problem ?? ''])
    for (const line of tableLines(STEPS, rows)) screen.say(line)
    for (const { advice } of report.steps) if (advice !== null) screen.say(advice)
  }
  return report.ok ? EXIT.done : EXIT.failed
}

export const registerStorage: Register = (program, parts, done) => {
  const storage = program.command('storage').description('List, add and test storages.')
  remote(storage.command('list', { isDefault: true }))
    .description('List the storages.')
    .action(async (flags: Common) => done(await atDesk(parts, flags, list)))
  remote(storage.command('add'))
    .description('Add a bucket; it is tried out before it is kept.')
    .argument('<name>')
    .requiredOption('--endpoint <url>', 'https://s3.eu-central-1.amazonaws.com, …')
    .requiredOption('--bucket <bucket>')
    .requiredOption('--access-key-id <id>')
    .option('--secret-file <file>', 'file with the secret key; else it is asked for')
    .option('--region <region>', '', 'us-east-1')
    .option('--prefix <prefix>', 'below which everything is kept')
    .option('--provider <name>', 'aws, ceph, minio, …', 's3')
    .option('--virtual-hosts', 'the bucket is part of the host name')
    .action(async (name: string, flags: AddFlags) =>
      done(await atDesk(parts, flags, async (desk) => add(desk, name, flags))),
    )
  remote(storage.command('test'))
    .description('Write, read, overwrite, delete: what the bucket can do.')
    .argument('<storage>', 'name or id')
    .action(async (name: string, flags: Common) =>
      done(await atDesk(parts, flags, async (desk) => test(desk, name))),
    )
}
