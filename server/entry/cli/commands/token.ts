/** `holdfast token`: who may do what through the API. */
import { NewToken, Token } from '#shared/api/tokens.ts'
import { listOf } from '../api-client.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT } from '../exit-codes.ts'
import { localTime, tableLines } from '#shared/table.ts'

const COLUMNS = [
  { head: 'NAME', least: 6 },
  { head: 'SCOPES', least: 8 },
  { head: 'LAST USED' },
  { head: 'EXPIRES', least: 4 },
  { head: 'ID' },
] as const

const list = async (desk: Desk): Promise<number> => {
  const { api, screen, stop } = desk
  const tokens = await api.get('/v1/tokens?limit=100', listOf(Token), stop)
  if (desk.json) desk.print(tokens)
  else
    for (const line of tableLines(
      COLUMNS,
      tokens.map((token) => [
        token.name,
        token.scopes.join(','),
        localTime(token.last_used_at),
        token.expires_at === null ? 'never' : localTime(token.expires_at),
        token.id,
      ]),
      Math.max(80, screen.columns),
    ))
      screen.say(line)
  return EXIT.done
}

type CreateFlags = Common & {
  readonly scope: readonly string[]
  readonly project?: string
  readonly expiresIn?: string
}

const create = async (desk: Desk, name: string, flags: CreateFlags): Promise<number> => {
  const { api, screen, stop } = desk
  const input = {
    name,
    scopes: flags.scope,
    ...(flags.project === undefined ? {} : { project_id: flags.project }),
    ...(flags.expiresIn === undefined ? {} : { expires_in: flags.expiresIn }),
  }
  const made = await api.post('/v1/tokens', input, NewToken, stop)
  if (desk.json) desk.print(made)
  else {
    screen.say('The token is shown only this once: store it now.')
    screen.say(made.token)
  }
  return EXIT.done
}

const revoke = async (desk: Desk, id: string): Promise<number> => {
  await desk.api.remove(`/v1/tokens/${encodeURIComponent(id)}`, desk.stop)
  if (desk.json) desk.print({ revoked: id })
  else desk.screen.say(`Revoked token ${id}.`)
  return EXIT.done
}

export const registerToken: Register = (program, parts, done) => {
  const token = program.command('token').description('List, make and revoke tokens of the API.')
  remote(token.command('list', { isDefault: true }))
    .description('List the tokens.')
    .action(async (flags: Common) => done(await atDesk(parts, flags, list)))
  remote(token.command('create'))
    .description('Make a token; it is shown once.')
    .argument('<name>')
    .requiredOption('--scope <scopes...>', 'read, backup, restore, download, delete, keys, admin')
    .option('--project <id>', 'only for this project')
    .option('--expires-in <duration>', '12h, 30d, 4w, …')
    .action(async (name: string, flags: CreateFlags) =>
      done(await atDesk(parts, flags, async (desk) => create(desk, name, flags))),
    )
  remote(token.command('revoke'))
    .description('Make a token worthless.')
    .argument('<id>')
    .action(async (id: string, flags: Common) =>
      done(await atDesk(parts, flags, async (desk) => revoke(desk, id))),
    )
}
