/** `holdfast server`: machines, and the command that makes one of them an agent. */
import { Enrollment, Server } from '#shared/api/servers.ts'
import { showFingerprint } from '#shared/format/keys.ts'
import { listOf } from '../api-client.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT } from '../exit-codes.ts'
import { findServer } from '../find.ts'
import { findTarget } from '../find-target.ts'
import { localTime, tableLines } from '#shared/table.ts'

const COLUMNS = [
  { head: 'NAME', least: 8 },
  { head: 'STATUS' },
  { head: 'ENVIRONMENT' },
  { head: 'LAST SEEN', least: 4 },
  { head: 'ID' },
] as const

const list = async (desk: Desk): Promise<number> => {
  const { api, screen, stop } = desk
  const servers = await api.get('/v1/servers?limit=100&sort=name', listOf(Server), stop)
  if (desk.json) desk.print(servers)
  else
    for (const line of tableLines(
      COLUMNS,
      servers.map((server) => [
        server.name,
        server.status,
        server.environment,
        localTime(server.last_seen_at),
        server.id,
      ]),
    ))
      screen.say(line)
  return EXIT.done
}

type AddFlags = Common & {
  readonly environment?: string
  readonly storage?: string
  readonly key?: string
}

/** The agent shows the same fingerprint before it pins it: whoever enrols compares the two. */
const sayEnrollment = ({ screen }: Desk, { command, vaults, expires_at }: Enrollment): void => {
  screen.say('On that machine, as root:')
  screen.say(`  ${command}`)
  screen.say(`It asks for the token, which is good once, until ${localTime(expires_at)}:`)
  for (const { storage, fingerprint } of vaults) {
    screen.say(`It shows the fingerprint of the recipients for ${storage}; it must be`)
    screen.say(`  ${showFingerprint(fingerprint)}`)
  }
}

const enrol = async (desk: Desk, server: Server, flags: AddFlags): Promise<number> => {
  const { api, screen, stop } = desk
  const { storage, key } = await findTarget(api, flags, stop)
  const made = await api.post(
    `/v1/servers/${server.id}/enrollment-tokens`,
    { vaults: [{ storage_id: storage.id, encryption_key_id: key.id }] },
    Enrollment,
    stop,
  )
  if (desk.json) desk.print({ server, enrollment: made })
  else {
    sayEnrollment(desk, made)
    screen.say('The token:')
    screen.say(`  ${made.token}`)
  }
  return EXIT.done
}

const add = async (desk: Desk, name: string, flags: AddFlags): Promise<number> => {
  const { api, stop } = desk
  const { environment } = flags
  const input = { name, type: 'agent', ...(environment === undefined ? {} : { environment }) }
  return enrol(desk, await api.post('/v1/servers', input, Server, stop), flags)
}

export const registerServer: Register = (program, parts, done) => {
  const server = program.command('server').description('List, add and enrol servers.')
  remote(server.command('list', { isDefault: true }))
    .description('List the servers.')
    .action(async (flags: Common) => done(await atDesk(parts, flags, list)))
  remote(server.command('add'))
    .description('Add a server, and show how its agent is enrolled.')
    .argument('<name>')
    .option('--environment <name>', 'production, staging or development')
    .option('--storage <storage>', 'where its backups go, if there are several')
    .option('--key <key>', 'what they are encrypted to, if there are several')
    .action(async (name: string, flags: AddFlags) =>
      done(await atDesk(parts, flags, async (desk) => add(desk, name, flags))),
    )
  remote(server.command('enrol'))
    .description('Show once more how the agent of a server is enrolled.')
    .argument('<server>', 'name or id')
    .option('--storage <storage>', 'where its backups go, if there are several')
    .option('--key <key>', 'what they are encrypted to, if there are several')
    .action(async (name: string, flags: AddFlags) =>
      done(
        await atDesk(parts, flags, async (desk) =>
          enrol(desk, await findServer(desk.api, name, desk.stop), flags),
        ),
      ),
    )
}
