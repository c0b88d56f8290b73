/** `holdfast up`, which `npm start` runs: everything on this machine, and a backup of the paths that were named. */
import type { Backup } from '#shared/api/backups.ts'
import { Me } from '#shared/api/tokens.ts'
import type { AgentPlace } from './agent-place.ts'
import { type AgentProcess, keepAgentRunning } from './agent-process.ts'
import { type Api, apiClient } from './api-client.ts'
import { deliverKit } from './deliver-kit.ts'
import { EXIT, exitOfBackup } from './exit-codes.ts'
import { followUnlessDeleted } from './follow-backup.ts'
import { choosePaths, type Chosen } from './paths.ts'
import { openPlane, type Plane, type PlaneParts } from './plane.ts'
import { chooseTarget, ensureJob, ensureServer } from './protect-paths.ts'
import { type Screen, screenOn } from './screen.ts'
import { INTERRUPTED, onSignals, untilInterrupted } from './signals.ts'
import { backupLines, directionLines } from './summary.ts'

export type UpOptions = {
  readonly paths: readonly string[]
  readonly exit: boolean
  readonly json: boolean
  readonly kit: string | null
}

export type UpParts = PlaneParts & {
  readonly agent: AgentPlace
  readonly tokenFile: string
  readonly launcher: string
  /** Folder of the embedded storage's bucket. */
  readonly bucket: string
  /** The same bytes at `file`, mode 0600; throws where something is. */
  readonly createPrivate: (file: string, text: string) => Promise<void>
  /** Whether an agent was enrolled in this data folder. */
  hasAgent(): Promise<boolean>
}

/** What one start is about, once the control plane answers. */
type Session = {
  readonly parts: UpParts
  readonly options: UpOptions
  readonly screen: Screen
  readonly plane: Plane
  readonly api: Api
  readonly stop: AbortSignal
  /** Ended in reverse order. */
  readonly owned: AsyncDisposableStack
}

const runAgent = ({ parts, owned, plane }: Session): AgentProcess => {
  const agent = keepAgentRunning(parts.agent, plane.url)
  owned.defer(async () => agent.stop())
  return agent
}

const backUp = async (session: Session, chosen: Chosen): Promise<Backup | null> => {
  const { api, parts, screen, plane, stop } = session
  const target = await chooseTarget(api, stop)
  const { server, isNew } = await ensureServer(api, parts.agent, target, stop)
  // Beside a control plane of another process there may be that one's agent.
  const isThere = !plane.own && !isNew && server.status === 'online'
  const agent = isThere ? null : runAgent(session)
  const job = await ensureJob(api, { ...target, server, paths: chosen.paths }, stop)
  const whyWaiting = (): string => {
    const exit = agent?.lastExit() ?? null
    return exit === null
      ? `Still waiting for the agent; its log is ${parts.agent.log}`
      : `The agent ended with code ${exit} and is started again; see ${parts.agent.log}`
  }
  return followUnlessDeleted({ api, screen, whyWaiting }, job, stop)
}

const sayState = async (
  { api, plane, screen, stop }: Session,
  kitShown: boolean,
): Promise<void> => {
  screen.say(
    plane.own
      ? `The control plane runs at ${plane.url}`
      : `Using the control plane that runs at ${plane.url} (process ${plane.pid})`,
  )
  const { organization } = await api.get('/v1/me', Me, stop)
  if (kitShown || organization.recovery.confirmed_at !== null) return
  screen.say('NOT CONFIRMED: that you stored the recovery kit of the first start. If this')
  screen.say('machine is lost, that kit is the only way to your backups.')
}

type Outcome = { readonly code: number; readonly backup: Backup | null }

const report = (session: Session, { backup, code }: Outcome): void => {
  const { options, parts, plane, screen } = session
  const stays = plane.own && !options.exit
  screen.say()
  if (backup !== null) for (const text of [...backupLines(backup), '']) screen.say(text)
  if (backup?.status === 'failed') screen.say(`The agent's log is ${parts.agent.log}\n`)
  const directions = {
    url: plane.url,
    token: parts.tokenFile,
    launcher: parts.launcher,
    bucket: parts.bucket,
    kit: options.kit,
    paths: options.paths,
    folder: process.cwd(),
    answers: stays || !plane.own,
    stays,
  }
  for (const text of directionLines(directions)) screen.say(text)
  if (!options.json) return
  const object = {
    exit_code: code,
    url: plane.url,
    pid: plane.pid,
    token_file: parts.tokenFile,
    bucket: parts.bucket,
    kit_file: options.kit,
    backup,
  }
  process.stdout.write(`${JSON.stringify(object)}\n`)
}

const work = async (session: Session, chosen: Chosen): Promise<number> => {
  const { options, parts, plane, stop } = session
  const wanted = chosen.paths.length > 0
  if (!wanted && plane.own && (await parts.hasAgent())) runAgent(session)
  const backup = wanted ? await backUp(session, chosen) : null
  const code = backup === null ? EXIT.done : exitOfBackup(backup.status)
  report(session, { backup, code })
  if (plane.own && !options.exit) await untilInterrupted(stop)
  return code
}

const start = async (
  parts: UpParts,
  { options, screen }: Pick<Session, 'options' | 'screen'>,
  stop: AbortSignal,
): Promise<{ readonly plane: Plane; readonly kitShown: boolean }> => {
  const kit = { shown: false }
  const plane = await openPlane(
    parts,
    async (made) => {
      await deliverKit({ screen, file: options.kit, createPrivate: parts.createPrivate }, made)
      kit.shown = true
    },
    stop,
  )
  if (options.kit !== null && !kit.shown)
    screen.say(`No kit was written to ${options.kit}: it is made at the first start only.`)
  return { plane, kitShown: kit.shown }
}

/** The exit code. Throws for what the catalogue has a code for; a person's Ctrl-C is none of that. */
export const up = async (parts: UpParts, options: UpOptions): Promise<number> => {
  const screen = screenOn(options.json ? process.stderr : process.stdout)
  const chosen = await choosePaths(options.paths)
  for (const { path, problem } of chosen.missing)
    screen.say(`Not there: ${path}: ${problem}. The backup names it and is partial.`)
  const end = new AbortController()
  const stop = end.signal
  await using owned = new AsyncDisposableStack()
  owned.use(onSignals(end, screen.say))
  try {
    const { plane, kitShown } = await start(parts, { options, screen }, stop)
    owned.defer(async () => plane.stop())
    void plane.broken.then((why) => end.abort(why))
    const api = apiClient(plane.url, plane.token)
    const session = { parts, options, screen, plane, api, stop, owned }
    await sayState(session, kitShown)
    return await work(session, chosen)
  } catch (error) {
    if (!stop.aborted) throw error
    if (stop.reason === INTERRUPTED) return EXIT.interrupted
    throw stop.reason
  }
}
