/** `holdfast recover`: a catalog from a bucket and the recovery kit. */
import type { Command } from 'commander'
import type { StorageInput } from '#shared/api/storages.ts'
import { fail } from '#shared/errors.ts'
import { showFingerprint } from '#shared/format/keys.ts'
import { parsePrefix } from '#shared/format/layout.ts'
import type { RecoverKit } from '#shared/protocol/recovery.ts'
import { plain } from '#shared/table.ts'
import { formatBytes, formatCount } from '#shared/units.ts'
import type { RecoverReport, RecoverTold } from '../../flow/recover/recover.ts'
import type { VaultReport } from '../../flow/recover/recover-vault.ts'
import { EXIT } from './exit-codes.ts'
import type { StartedReader } from './recover-reader.ts'
import { meterView, type Screen, screenOn } from './screen.ts'
import { INTERRUPTED, onSignals } from './signals.ts'

export type RecoverFlags = {
  readonly storage: string
  readonly identity: string
  readonly region?: string
  readonly accessKeyId?: string
  readonly secretFile?: string
  readonly virtualHosts?: boolean
  readonly data?: string
  readonly json?: boolean
}

export type RecoverParts = {
  readonly startReader: () => StartedReader
  readonly readText: (file: string) => Promise<string>
  readonly ask: (question: string) => Promise<string>
  /** Into the catalog of the data folder. */
  readonly recover: (
    wish: {
      readonly data: string | undefined
      readonly from: 'embedded' | StorageInput
      readonly kit: RecoverKit
      readonly reader: StartedReader
    },
    told: RecoverTold,
    stop: AbortSignal,
  ) => Promise<RecoverReport>
}

const wrong = (problem: string): Error => fail('WRONG_USE', { problem })

/** `https://host/bucket/prefix`, as an address of path style. */
const bucketIn = (text: string): Pick<StorageInput, 'endpoint' | 'bucket' | 'prefix'> => {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '')
    throw wrong('--storage is "embedded" or the address of the bucket: https://HOST/BUCKET/PREFIX')
  const [bucket = '', ...prefix] = decodeURIComponent(url.pathname).split('/').filter(Boolean)
  if (bucket === '') throw wrong('--storage names no bucket: https://HOST/BUCKET/PREFIX')
  return { endpoint: url.origin, bucket, prefix: parsePrefix(prefix.join('/')) }
}

const storageOf = async (
  { readText, ask }: RecoverParts,
  flags: RecoverFlags,
): Promise<'embedded' | StorageInput> => {
  if (flags.storage === 'embedded') return 'embedded'
  const where = bucketIn(flags.storage)
  if (flags.accessKeyId === undefined) throw wrong('--access-key-id is missing')
  const { secretFile } = flags
  const secret =
    secretFile === undefined ? await ask('Secret access key: ') : await readText(secretFile)
  if (secret.trim() === '') throw wrong('The secret access key is empty')
  return {
    name: where.bucket,
    provider: 'other',
    ...where,
    region: flags.region ?? 'us-east-1',
    path_style: flags.virtualHosts !== true,
    access_key_id: flags.accessKeyId,
    secret_access_key: secret.trim(),
  }
}

const vaultLines = (vault: VaultReport): readonly string[] => {
  const { fingerprint, backups, objects, bytes, last, problem_count, problems, gaps } = vault
  if (fingerprint === null)
    return [
      `Vault ${vault.vault}: nothing of it can be believed.`,
      ...problems.map(({ message }) => `  ! ${plain(message)}`),
    ]
  const more = problem_count - problems.length
  return [
    `Vault ${vault.vault}: ${formatCount(backups)} backups, ${formatCount(objects)} objects, ${formatBytes(bytes)}.`,
    `  Trusted on first use; its fingerprint is ${showFingerprint(fingerprint)}`,
    ...[...last].map(
      ([job, sequence]) => `  Job ${job}: the last backup here is number ${sequence}.`,
    ),
    ...gaps.map(({ job, gap, first, last: end }) =>
      gap === 'missing'
        ? `  ! Job ${job}: backups ${first} to ${end} were kept, and are not here.`
        : `  ! Job ${job}: backup ${first} ${gap === 'double' ? 'is there twice' : 'does not follow the one before'}.`,
    ),
    ...problems.map(({ key, message }) => `  ! ${plain(key)}: ${plain(message)}`),
    ...(more > 0 ? [`  ! and ${formatCount(more)} more`] : []),
    ...(problem_count > 0
      ? ['  Nothing of this vault is deleted until a recovery can read all of it.']
      : []),
  ]
}

const AFTER = [
  'Start the control plane ("holdfast up" or "holdfast serve"), then enrol each server again:',
  'its agent goes on in its vault if it still has its own files; else a new vault begins.',
  'Keys are recovered as customer keys: the recovery kit opens what they encrypted.',
]

const verdictOf = ({ vaults }: RecoverReport): number => {
  const whole = vaults.every(({ problem_count, gaps }) => problem_count === 0 && gaps.length === 0)
  if (whole) return EXIT.done
  return vaults.some(({ backups }) => backups > 0) ? EXIT.partial : EXIT.failed
}

const meter = (screen: Screen): { told: RecoverTold; end(): void } => {
  const view = meterView(screen)
  return {
    told: ({ listed, vault }) =>
      view.show({
        share: null,
        phase: vault === null ? 'listing the bucket' : `vault ${vault.vault}`,
        facts:
          vault === null
            ? `listing the bucket: ${formatCount(listed)} objects`
            : `${formatCount(vault.backups)} backups, ${formatCount(vault.objects)} objects`,
      }),
    end: () => view.end(),
  }
}

const jsonOf = (report: RecoverReport, code: number): string =>
  JSON.stringify({
    exit_code: code,
    catalog_epoch: report.epoch,
    vaults: report.vaults.map(({ last, ...vault }) => ({
      ...vault,
      trust: 'first-use',
      last: [...last].map(([job, sequence]) => ({ job, sequence })),
    })),
  })

/** The exit code: 0 all of it, 3 in part, 1 nothing. */
export const recoverCommand = async (parts: RecoverParts, flags: RecoverFlags): Promise<number> => {
  const screen = screenOn(flags.json === true ? process.stderr : process.stdout)
  const from = await storageOf(parts, flags)
  const end = new AbortController()
  await using owned = new AsyncDisposableStack()
  owned.use(onSignals(end, screen.say))
  const reader = owned.use(parts.startReader())
  const view = meter(screen)
  try {
    const kit = await reader.begin(flags.identity)
    const wish = { data: flags.data, from, kit, reader }
    const report = await parts.recover(wish, view.told, end.signal)
    view.end()
    for (const vault of report.vaults) for (const line of vaultLines(vault)) screen.say(line)
    if (report.vaults.length === 0) throw fail('NOT_A_VAULT', { where: flags.storage })
    for (const line of AFTER) screen.say(line)
    const code = verdictOf(report)
    if (flags.json === true) process.stdout.write(`${jsonOf(report, code)}\n`)
    return code
  } catch (error) {
    view.end()
    if (end.signal.aborted && end.signal.reason === INTERRUPTED) return EXIT.interrupted
    throw error
  }
}

export const registerRecover = (
  program: Command,
  run: (flags: RecoverFlags) => Promise<void>,
): void => {
  program
    .command('recover')
    .description('Rebuild a lost control plane from its bucket and the recovery kit.')
    .requiredOption(
      '--storage <address>',
      '"embedded" (the data folder), or https://HOST/BUCKET/PREFIX',
    )
    .requiredOption('--identity <file>', 'the recovery kit')
    .option('--region <region>', 'of the bucket (us-east-1)')
    .option('--access-key-id <id>', 'of the bucket')
    .option('--secret-file <file>', 'holds the secret access key; asked for if left out')
    .option('--virtual-hosts', 'address the bucket as BUCKET.HOST')
    .option('--data <folder>', 'data folder of the new control plane (HOLDFAST_DATA, ./data)')
    .option('--json', 'one JSON object on stdout at the end, the rest on stderr')
    .action(run)
}
