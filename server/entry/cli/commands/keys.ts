/** `holdfast keys`: encryption keys, the recovery kit's public page, and open requests that wait for a key's holder. */
import { EncryptionKey } from '#shared/api/encryption-keys.ts'
import { OpenRequest } from '#shared/api/open-requests.ts'
import { Organization, RecoveryAnswer, type RecoveryPage } from '#shared/api/organization.ts'
import { showFingerprint } from '#shared/format/keys.ts'
import { parseKit, proveKit } from '#shared/format/recovery-kit.ts'
import { listOf } from '../api-client.ts'
import { approveRequest } from '../approve-request.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT } from '../exit-codes.ts'
import { localTime, plain, tableLines } from '#shared/table.ts'

const KEYS = [
  { head: 'NAME', least: 8 },
  { head: 'TYPE' },
  { head: 'MADE' },
  { head: 'ID' },
] as const

const list = async (desk: Desk): Promise<number> => {
  const { api, screen, stop } = desk
  const keys = await api.get('/v1/encryption-keys?limit=100', listOf(EncryptionKey), stop)
  if (desk.json) desk.print(keys)
  else {
    const rows = keys.map((key) => [key.name, key.type, localTime(key.created_at), key.id])
    for (const line of tableLines(KEYS, rows)) screen.say(line)
  }
  return EXIT.done
}

type AddFlags = Common & { readonly recipient?: string }

const add = async (desk: Desk, name: string, { recipient }: AddFlags): Promise<number> => {
  const { api, screen, stop } = desk
  const input =
    recipient === undefined ? { name, type: 'managed' } : { name, type: 'customer', recipient }
  const key = await api.post('/v1/encryption-keys', input, EncryptionKey, stop)
  if (desk.json) desk.print(key)
  else screen.say(`Added ${key.type} key ${key.name}: ${key.recipient}`)
  return EXIT.done
}

const RULE = '-'.repeat(76)

const pageLines = (page: RecoveryPage): readonly string[] => [
  `Recovery kit of ${page.organization}: its public page. Nothing here is secret.`,
  RULE,
  `organization id    ${page.organization_id}`,
  `recovery recipient ${page.recovery.recipient ?? '-'}`,
  `signing key        ${page.recovery.signing_key ?? '-'}`,
  `kit confirmed      ${page.recovery.confirmed_at === null ? 'NO: see "holdfast keys confirm"' : localTime(page.recovery.confirmed_at)}`,
  ...page.storages.flatMap((storage) => [
    '',
    `storage ${storage.name}: ${storage.endpoint} (${storage.region})`,
    `  bucket ${storage.bucket}, prefix "${storage.prefix}"`,
  ]),
]

const vaultLines = (vault: RecoveryPage['vaults'][number]): readonly string[] => [
  '',
  `vault ${vault.id} of ${vault.server}${vault.retired_at === null ? '' : ' (retired)'}`,
  ...(vault.genesis_fingerprint === null
    ? ['  its agent has not opened it yet']
    : showFingerprint(vault.genesis_fingerprint)
        .split('\n')
        .map((line) => `  ${line}`)),
]

const kit = async (desk: Desk): Promise<number> => {
  const { api, screen, stop } = desk
  const vaults: RecoveryPage['vaults'] = []
  let cursor = ''
  for (let first = true; ; first = false) {
    const path = `/v1/organization/recovery?limit=100${cursor}`
    const { data, meta } = await api.answer(path, RecoveryAnswer, stop)
    if (first && !desk.json) for (const line of pageLines(data)) screen.say(plain(line))
    vaults.push(...data.vaults)
    if (!desk.json)
      for (const vault of data.vaults) for (const line of vaultLines(vault)) screen.say(plain(line))
    if (meta.next_cursor === null) {
      if (desk.json) desk.print({ ...data, vaults })
      return EXIT.done
    }
    cursor = `&cursor=${encodeURIComponent(meta.next_cursor)}`
  }
}

type ConfirmFlags = Common & { readonly kit: string }

const confirm = async (desk: Desk, flags: ConfirmFlags): Promise<number> => {
  const { api, screen, stop, parts } = desk
  const proof = proveKit(parseKit(await parts.readText(flags.kit)), parts.now())
  const path = '/v1/organization/recovery/confirm'
  const organization = await api.post(path, proof, Organization, stop)
  if (desk.json) desk.print(organization)
  else screen.say('Confirmed: the recovery kit is at hand. Keep it away from this machine.')
  return EXIT.done
}

const REQUESTS = [
  { head: 'STATUS' },
  { head: 'PURPOSE' },
  { head: 'FOR', least: 6 },
  { head: 'EXPIRES' },
  { head: 'ID' },
] as const

const requests = async (desk: Desk): Promise<number> => {
  const { api, screen, stop } = desk
  const found = await api.get('/v1/open-requests?limit=100', listOf(OpenRequest), stop)
  if (desk.json) desk.print(found)
  else if (found.length === 0) screen.say('Nobody has asked to open anything.')
  else
    for (const line of tableLines(
      REQUESTS,
      found.map((one) => [
        one.status,
        one.purpose,
        one.opener.name,
        localTime(one.expires_at),
        one.id,
      ]),
    ))
      screen.say(line)
  return EXIT.done
}

type ApproveFlags = Common & { readonly identity: readonly string[]; readonly yes?: boolean }

const approve = async (desk: Desk, id: string, flags: ApproveFlags): Promise<number> => {
  const approved = await approveRequest(desk, id, {
    identities: flags.identity,
    ask: flags.yes !== true,
  })
  if (desk.json) desk.print(approved)
  else if (approved !== null) desk.screen.say(`Approved ${id}.`)
  return approved === null ? EXIT.failed : EXIT.done
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
]

export const registerKeys: Register = (program, parts, done) => {
  const keys = program.command('keys').description('Encryption keys, the recovery kit, approvals.')
  remote(keys.command('list', { isDefault: true }))
    .description('List the encryption keys.')
    .action(async (flags: Common) => done(await atDesk(parts, flags, list)))
  remote(keys.command('add'))
    .description('Add a key: made and kept here, or one that only you can open.')
    .argument('<name>')
    .option('--recipient <age1…>', 'yours (age-keygen): its identity stays with you')
    .action(async (name: string, flags: AddFlags) =>
      done(await atDesk(parts, flags, async (desk) => add(desk, name, flags))),
    )
  remote(keys.command('kit'))
    .description("Print the recovery kit's public page: the fingerprints of all vaults.")
    .action(async (flags: Common) => done(await atDesk(parts, flags, kit)))
  remote(keys.command('confirm'))
    .description('Show that you have the recovery kit.')
    .requiredOption('--kit <file>', 'the recovery kit')
    .action(async (flags: ConfirmFlags) =>
      done(await atDesk(parts, flags, async (desk) => confirm(desk, flags))),
    )
  remote(keys.command('requests'))
    .description('List who asks to open backups of customer-held keys.')
    .action(async (flags: Common) => done(await atDesk(parts, flags, requests)))
  remote(keys.command('approve'))
    .description('Look at an open request, and open its packs for whoever asks.')
    .argument('<request>', 'id of the open request')
    .requiredOption('--identity <file>', 'age identity of the key', collect)
    .option('--yes', 'do not ask')
    .action(async (id: string, flags: ApproveFlags) =>
      done(await atDesk(parts, flags, async (desk) => approve(desk, id, flags))),
    )
}
