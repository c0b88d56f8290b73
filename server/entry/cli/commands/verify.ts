/** `holdfast verify`: whether a backup can be restored, tried by the control plane, or here where only we have its key. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Option } from 'commander'
import type { Backup } from '#shared/api/backups.ts'
import type { Finding, VerificationResult } from '#shared/api/findings.ts'
import {
  Verification,
  VERIFICATION_LEVELS,
  type VerificationLevel,
} from '#shared/api/verifications.ts'
import { CATALOGUE, hasCode, isErrorCode } from '#shared/errors.ts'
import { plain } from '#shared/table.ts'
import { formatBytes, formatCount, SECOND } from '#shared/units.ts'
import type { Api } from '../api-client.ts'
import { atDesk, type Common, type Desk, type Register, remote } from '../desk.ts'
import { EXIT } from '../exit-codes.ts'
import { findBackup } from '../find.ts'
import { patient } from '../patient.ts'
import { here, type HereFlags, readHere } from '../read-here.ts'
import { type Screen, verificationView } from '../screen.ts'

type Flags = Common & HereFlags & { readonly local?: boolean; readonly level: VerificationLevel }

const LOOK_EVERY = SECOND / 2

const isOver = ({ status }: Verification): boolean => status !== 'pending' && status !== 'running'

/** The new one, or the one that runs already: it is the same work. */
const startOrJoin = async (
  { api, screen, stop }: Desk,
  backup: Backup,
  level: VerificationLevel,
): Promise<Verification> => {
  const path = `/v1/backups/${backup.id}/verify`
  try {
    return await api.post(path, { level }, Verification, stop)
  } catch (error) {
    if (!hasCode(error, 'OPERATION_IN_PROGRESS')) throw error
    screen.say('A verification of this backup runs already; following it.')
    return api.get(`/v1/verifications/${String(error.details['id'])}`, Verification, stop)
  }
}

const follow = async (
  { screen, stop }: Desk,
  api: Api,
  begun: Verification,
): Promise<Verification> => {
  const view = verificationView(screen)
  try {
    for (
      let now = begun;
      ;
      now = await api.get(`/v1/verifications/${begun.id}`, Verification, stop)
    ) {
      view.show(now)
      if (isOver(now)) return now
      await sleep(LOOK_EVERY, undefined, { signal: stop })
    }
  } finally {
    view.end()
  }
}

const aboutOf = ({ path, to }: Finding): string => {
  if (path === null) return ''
  return to === undefined ? `${path}: ` : `every entry from ${path} up to ${to ?? 'the end'}: `
}

/** What a verification that passed has shown. */
const PASSED: Readonly<Record<VerificationLevel, string>> = {
  objects: 'Verified: every object is there, as long as it was',
  sample: 'Verified: a random share of the objects is what was signed for',
  full: 'Verified: every object is what was signed for, byte by byte',
  restore: 'Verified: all of it can be restored',
}

const sayFacts = ({ say }: Screen, level: VerificationLevel, result: VerificationResult): void => {
  if (level !== 'restore') {
    say(`  objects     ${formatCount(result.objects)} ${level === 'objects' ? 'seen' : 'read'}`)
    say(`  size        ${formatBytes(result.bytes)}`)
    return
  }
  say(`  entries     ${formatCount(result.files)}`)
  say(`  content     ${formatBytes(result.bytes)} is what it was`)
  say(`  objects     ${formatCount(result.objects)} read`)
}

const sayFinding = ({ say }: Screen, one: Finding): void => {
  say(plain(`  ! ${aboutOf(one)}${one.problem}`))
  const { files = [], file_count: all = 0, backup_count: backups = 0 } = one
  for (const path of files) say(plain(`      needed by ${path}`))
  if (all > files.length) say(`      and by ${formatCount(all - files.length)} more`)
  if (backups > 1) say(`      ${formatCount(backups)} backups need it`)
}

const sayResult = (
  screen: Screen,
  [level, result]: readonly [VerificationLevel, VerificationResult],
): void => {
  const passed = result.status === 'passed'
  screen.say(passed ? PASSED[level] : 'DAMAGED: not all can be restored')
  sayFacts(screen, level, result)
  if (!passed) screen.say(`  problems    ${formatCount(result.problem_count)}`)
  for (const one of result.problems) sayFinding(screen, one)
  const more = result.problem_count - result.problems.length
  if (more > 0) screen.say(`  ! and ${formatCount(more)} more`)
}

const sayEnd = (screen: Screen, { status, level, result, error, id }: Verification): void => {
  if (result !== null) sayResult(screen, [level, result])
  if (error !== null) {
    const how = status === 'canceled' ? 'was canceled' : 'FAILED'
    screen.say(`The verification ${how}: nothing is known of the backup`)
    screen.say(plain(`  ${error.message}`))
  }
  screen.say(`  id          ${id}`)
}

const exitOf = ({ result, error }: Verification): number => {
  if (error !== null) return isErrorCode(error.code) ? CATALOGUE[error.code].exit : EXIT.failed
  return result?.status === 'passed' ? EXIT.done : CATALOGUE.DAMAGED.exit
}

const verifyThere = async (
  desk: Desk,
  backup: Backup,
  level: VerificationLevel,
): Promise<number> => {
  const begun = await startOrJoin(desk, backup, level)
  const ended = await follow(desk, patient(desk.api), begun)
  if (desk.json) desk.print(ended)
  else sayEnd(desk.screen, ended)
  return exitOf(ended)
}

/** The control plane reads whole backups, with keys that it has, and against signers that it has seen itself. */
const isForHere = (
  { encryption_key: key }: Backup,
  paths: readonly string[],
  { local, identity, genesis, level }: Flags,
): boolean =>
  local === true ||
  (key.type === 'customer' && level === 'restore') ||
  paths.length > 0 ||
  identity !== undefined ||
  genesis !== undefined

export const registerVerify: Register = (program, parts, done) => {
  here(
    remote(program.command('verify'))
      .description('Read a backup down to its last byte, and write nothing.')
      .argument('<backup>', 'id, name of a job (its newest backup), or "latest"')
      .argument('[paths...]', 'files and folders, read here; everything if left out')
      .option('--local', 'read it on this machine, not at the control plane')
      .addOption(
        new Option('--level <level>', 'how deep the control plane looks')
          .choices(VERIFICATION_LEVELS)
          .default('restore'),
      ),
  ).action(async (name: string, paths: string[], flags: Flags) =>
    done(
      await atDesk(parts, flags, async (desk) => {
        const backup = await findBackup(desk.api, name, desk.stop)
        return isForHere(backup, paths, flags)
          ? readHere(desk, { backup, paths, to: null }, flags)
          : verifyThere(desk, backup, flags.level)
      }),
    ),
  )
}
