/** `holdfast get` and `holdfast verify`: files of a backup read on this machine, from the bucket, checked to the last byte. */
import { resolve } from 'node:path'
import { parseFile } from '#shared/api/file-ids.ts'
import { fail } from '#shared/errors.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { boxPublicKey } from '#shared/format/keys.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { findBackup } from '../find.ts'
import { askParts, handedObjects } from '../parts.ts'

type Flags = Common & {
  readonly identity?: readonly string[]
  readonly genesis?: string
}

type Asked = {
  readonly backup: string
  readonly paths: readonly string[]
  readonly to: string | null
}

/** With a managed key the control plane hands the keys over, to a key that lives as long as this; else the identity opens. */
const read = async (
  desk: Desk,
  { backup: name, paths, to }: Asked,
  flags: Flags,
): Promise<number> => {
  const { api, stop, parts } = desk
  const backup = await findBackup(api, name, stop)
  const { vault_id: vault } = backup
  if (vault === null) throw fail('INVALID_STATE', { resource: 'The backup', status: backup.status })
  if (backup.encryption_key.type === 'customer' && flags.identity === undefined)
    throw fail('KEY_REQUIRED', { problem: 'only its holder has the identity' })
  const secret = parts.random(32)
  const openerKey = toBase64url(boxPublicKey(secret))
  const found = await askParts(desk, backup.id, { files: paths, openerKey })
  const raw = paths.map((path) => toBase64url(Buffer.from(parseFile(path, 'paths'), 'latin1')))
  const { code } = await parts.reader(
    ['handed'],
    JSON.stringify({
      vault,
      backup: backup.id,
      identities: flags.identity ?? [],
      json: desk.json,
      opener_secret: toBase64url(secret),
      ...(flags.genesis === undefined ? {} : { genesis: flags.genesis }),
      ...handedObjects(found),
      action:
        to === null
          ? { do: 'verify', paths: raw }
          : { do: 'restore', target: resolve(to), paths: raw },
    }),
  )
  return code
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
]

export const registerGet: Register = (program, parts, done) => {
  remote(program.command('get'))
    .description('Fetch files of a backup to this machine.')
    .argument('<backup>', 'id, name of a job (its newest backup), or "latest"')
    .argument('[paths...]', 'files and folders; everything if left out')
    .option('--to <folder>', 'empty or new folder of this machine', 'restored')
    .option('--identity <file>', "age identity, for a customer's key", collect)
    .option('--genesis <fingerprint>', "the vault's fingerprint, from the kit's page")
    .action(async (backup: string, paths: string[], flags: Flags & { to: string }) =>
      done(
        await atDesk(parts, flags, async (desk) =>
          read(desk, { backup, paths, to: flags.to }, flags),
        ),
      ),
    )
  remote(program.command('verify'))
    .description('Read a backup down to its last byte, and write nothing.')
    .argument('<backup>', 'id, name of a job (its newest backup), or "latest"')
    .argument('[paths...]', 'files and folders; everything if left out')
    .option('--identity <file>', "age identity, for a customer's key", collect)
    .option('--genesis <fingerprint>', "the vault's fingerprint, from the kit's page")
    .action(async (backup: string, paths: string[], flags: Flags) =>
      done(
        await atDesk(parts, flags, async (desk) => read(desk, { backup, paths, to: null }, flags)),
      ),
    )
}
