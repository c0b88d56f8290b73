/** `holdfast verify`: whether a backup can be restored, tried by the control plane, or here where only we have its key. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Backup } from '#shared/api/backups.ts'
import type { Finding, VerificationResult } from '#shared/api/findings.ts'
import { Verification } from '#shared/api/verifications.ts'
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

type Flags = Common & HereFlags & { readonly local?: boolean }

const LOOK_EVERY = SECOND / 2

const isOver = ({ status }: Verification): boolean => status === 'completed' || status === 'failed'

/** The new one, or the one that runs already: it is the same work. */
const startOrJoin = async ({ api, screen, stop }: Desk, backup: Backup): Promise<Verification> => {
  const path = `/v1/backups/${backup.id}/verify`
  try {
    return await api.post(path, { level: 'restore' }, Verification, stop)
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

const sayResult = (screen: Screen, result: VerificationResult): void => {
  const passed = result.status === 'passed'
  screen.say(passed ? 'Verified: all of it can be restored' : 'DAMAGED: not all can be restored')
  screen.say(`  entries     ${formatCount(result.files)}`)
  screen.say(`  content     ${formatBytes(result.bytes)} is what it was`)
  screen.say(`  objects     ${formatCount(result.objects)} read`)
  if (!passed) screen.say(`  problems    ${formatCount(result.problem_count)}`)
  for (const one of result.problems) screen.say(plain(`  ! ${aboutOf(one)}${one.problem}`))
  const more = result.problem_count - result.problems.length
  if (more > 0) screen.say(`  ! and ${formatCount(more)} more`)
}

const sayEnd = (screen: Screen, { result, error, id }: Verification): void => {
  if (result !== null) sayResult(screen, result)
  if (error !== null) {
    screen.say('The verification FAILED: nothing is known of the backup')
    screen.say(plain(`  ${error.message}`))
  }
  screen.say(`  id          ${id}`)
}

const exitOf = ({ result, error }: Verification): number => {
  if (error !== null) return isErrorCode(error.code) ? CATALOGUE[error.code].exit : EXIT.failed
  return result?.status === 'passed' ? EXIT.done : CATALOGUE.DAMAGED.exit
}

const verifyThere = async (desk: Desk, backup: Backup): Promise<number> => {
  const begun = await startOrJoin(desk, backup)
  const ended = await follow(desk, patient(desk.api), begun)
  if (desk.json) desk.print(ended)
  else sayEnd(desk.screen, ended)
  return exitOf(ended)
}

/** The control plane reads whole backups, with keys that it has, and against signers that it has seen itself. */
const isForHere = (
  { encryption_key: key }: Backup,
  paths: readonly string[],
  { local, identity, genesis }: Flags,
): boolean =>
  local === true ||
  key.type === 'customer' ||
  paths.length > 0 ||
  identity !== undefined ||
  genesis !== undefined

export const registerVerify: Register = (program, parts, done) => {
  here(
    remote(program.command('verify'))
      .description('Read a backup down to its last byte, and write nothing.')
      .argument('<backup>', 'id, name of a job (its newest backup), or "latest"')
      .argument('[paths...]', 'files and folders, read here; everything if left out')
      .option('--local', 'read it on this machine, not at the control plane'),
  ).action(async (name: string, paths: string[], flags: Flags) =>
    done(
      await atDesk(parts, flags, async (desk) => {
        const backup = await findBackup(desk.api, name, desk.stop)
        return isForHere(backup, paths, flags)
          ? readHere(desk, { backup, paths, to: null }, flags)
          : verifyThere(desk, backup)
      }),
    ),
  )
}
