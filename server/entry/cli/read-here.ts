/** Files of a backup read on this machine, from the bucket, checked to the last byte. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Backup } from '#shared/api/backups.ts'
import { parseFile } from '#shared/api/file-ids.ts'
import { fail } from '#shared/errors.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { boxPublicKey } from '#shared/format/keys.ts'
import type { Desk } from './desk.ts'
import { askParts, handedObjects } from './parts.ts'

export type HereFlags = {
  readonly identity?: readonly string[]
  readonly genesis?: string
}

export type Asked = {
  readonly backup: Backup
  readonly paths: readonly string[]
  /** Where the files go; null: they are read, and nothing is written. */
  readonly to: string | null
}

/** With a managed key the control plane hands the keys over, to a key that lives as long as this; else the identity opens. */
export const readHere = async (
  desk: Desk,
  { backup, paths, to }: Asked,
  flags: HereFlags,
): Promise<number> => {
  const { parts } = desk
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

/** Gives a command the flags of those who read here. */
export const here = (command: Command): Command =>
  command
    .option('--identity <file>', "age identity, for a customer's key", collect)
    .option('--genesis <fingerprint>', "the vault's fingerprint, from the kit's page")
