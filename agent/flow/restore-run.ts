/** One restore that the control plane has ordered: opened, looked over, brought back (PROTOCOL.md, `restore.start`). */
import { fail, problemOf } from '#shared/errors.ts'
import { toHex } from '#shared/format/bytes.ts'
import { showFingerprint } from '#shared/format/keys.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import { createPackRows } from '#shared/read/packs.ts'
import { selectionOf } from '#shared/read/selection.ts'
import type { TreeOf } from '#shared/read/tree.ts'
import { formatBytes } from '#shared/units.ts'
import type { Patience } from '../core/patience.ts'
import { notSetLines, type RestoreEvent } from '../core/restore-events.ts'
import type { Extractors, PlaceAsk, ReadOnce, RestoreTarget } from '../core/restore-ports.ts'
import { failedIn } from '../core/restore-tally.ts'
import { leftAt, readTags, withoutTag, withTag, writeTags } from '../core/restore-tags.ts'
import type { StateFolder, World } from '../ports.ts'
import type { RestoreRun } from './obey-kinds.ts'
import { createAddresses } from './restore-addresses.ts'
import { type Opening, openBackup } from './restore-opening.ts'
import { createReading, type Reading } from './restore-reading.ts'
import { createSource, type Source } from './restore-source.ts'
import { survey } from './restore-survey.ts'
import { createTeller, type Teller } from './restore-told.ts'
import { type Aim, aimOf, readWish } from './restore-wish.ts'
import { restore } from './restore.ts'

export type RestoreRunParts = {
  readonly world: World
  readonly state: StateFolder
  readonly patience: Patience
  readonly readOnce: ReadOnce
  readonly place: (ask: PlaceAsk) => RestoreTarget
  readonly extractors: (idKey: Uint8Array, tag: string) => Extractors
  /** The X25519 secret that keys are sealed to. */
  readonly boxSecret: Uint8Array
  /** base64url SHA-256 of the genesis of a vault that this agent writes; null of any other. */
  readonly genesisOf: (vault: string) => string | null
  /** Why nothing may be restored there; null where it may. */
  readonly barred: (path: string) => Error | null
}

const COARSE =
  'Times are restored to the microsecond, extended attributes and access lists not at all: the package koffi cannot be loaded here.'

const TAGS = 'restores.json'
const TAG_BYTES = 6

/** So many files in a row for which there was no space: then there is none for the others either. */
const MOST_WITHOUT_SPACE = 100
const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT'])

type Run = RestoreRunParts &
  Omit<RestoreRun, 'order'> & {
    readonly latest: () => RestoreStart
    readonly teller: Teller
    readonly reading: Reading
    /** Ends the restore with this. */
    readonly giveUp: (error: unknown) => void
    readonly stop: AbortSignal
  }

const checkPlaces = ({ barred }: RestoreRunParts, paths: readonly string[]): void => {
  for (const path of paths) {
    const problem = barred(path)
    if (problem !== null) throw problem
  }
}

const sayWhatItIs = ({ teller, latest }: Run, { chain, isKnown, body }: Opening): void => {
  const { backup_name: name, job_name: job, target } = latest()
  const time = new Date(body.started).toISOString()
  teller.say(
    `Restoring "${name}" of the job "${job}" (${body.host.hostname}, ${time}) to ${target === '' ? 'where it was' : target}.`,
  )
  if (!isKnown)
    teller.say(
      `This agent has not seen the vault before: its genesis ${showFingerprint(chain.fingerprint)} is trusted on first use.`,
    )
}

type OwnTag = { readonly tag: string; readonly leftovers: readonly string[] }

/** The tag of this restore, on disk before anything is written under it, and those of restores that were killed. */
const takeTag = ({ state, world, latest }: Run): OwnTag => {
  const tags = readTags(state.read(TAGS))
  const { target } = latest()
  const tag = toHex(world.random(TAG_BYTES))
  state.replace(TAGS, writeTags(withTag(tags, { tag, target, begun: world.clock.now() })))
  return { tag, leftovers: leftAt(tags, target) }
}

/** It ended in order: nothing is left under it. */
const giveTagBack = ({ state }: Run, tag: string): void => {
  state.replace(TAGS, writeTags(withoutTag(readTags(state.read(TAGS)), tag)))
}

type Scene = {
  readonly tree: TreeOf
  readonly aim: Aim
  readonly body: Opening['body']
  readonly source: Source
  readonly target: RestoreTarget
  readonly extractors: Extractors
}

const showAll = (paths: readonly Bytes[]): string =>
  paths.map((path) => Buffer.from(path, 'latin1').toString('utf8')).join(', ')

/** How much it is, and with `refuse`, that nothing is in the way. */
const lookOver = async (run: Run, { tree, aim, body, target }: Scene): Promise<void> => {
  const { tally, latest, world, stop } = run
  const selection = selectionOf(aim.wish)
  const refuses = latest().conflict === 'refuse'
  if (selection.everything || !aim.asked) {
    tally.filesTotal = body.counts.files
    tally.bytesTotal = body.bytes.source
    if (!refuses) return
  }
  const ask = { tree, selection, target: refuses ? target : null, turn: world.turn }
  const { files, bytes, conflicts, first } = await survey(ask, stop)
  tally.filesTotal = files
  tally.bytesTotal = bytes
  if (conflicts > 0)
    throw fail('CONFLICT', {
      problem: `${String(conflicts)} of the names to restore are taken, among them ${showAll(first)}`,
      count: conflicts,
    })
}

/** Tells what happens, and ends the restore where the disk is full. */
const listening = ({ teller, tally, giveUp, stop }: Run): ((event: RestoreEvent) => void) => {
  let without = 0
  let restored = 0
  return (event) => {
    if (stop.aborted) return
    teller.note(event)
    if (event.at !== 'failed' || !FULL.has(event.problem.details['system'])) return
    const { files } = tally.counts
    without = files === restored ? without + 1 : 1
    restored = files
    if (without >= MOST_WITHOUT_SPACE)
      giveUp(fail('TARGET_UNWRITABLE', { ...event.problem.details }))
  }
}

const bringBack = async (run: Run, scene: Scene): Promise<void> => {
  const { tally, latest, world, reading, stop } = run
  const { tree, aim, source, target, extractors } = scene
  tally.phase = 'restoring'
  await restore(
    {
      tree,
      target,
      extractors,
      wish: aim.wish,
      asked: aim.asked,
      counts: tally.counts,
      conflict: latest().conflict,
      strict: true,
      tell: listening(run),
      taken: world.turn,
      again: source.again,
      read: (bytes, isGood) => {
        tally.bytesFetched += bytes
        if (isGood) reading.wentWell()
      },
      finishing: () => {
        tally.phase = 'finishing'
      },
    },
    stop,
  )
}

const sayHowItWent = ({ teller, tally: { counts, bytesFetched } }: Run): void => {
  const failed = failedIn(counts)
  teller.say(
    `Restored ${String(counts.files)} files (${formatBytes(counts.bytes)}), ${String(counts.directories)} folders and ${String(counts.others + counts.links)} others; skipped ${String(counts.skipped)}, failed ${String(failed)}; fetched ${formatBytes(bytesFetched)}.`,
    failed > 0 ? 'warn' : 'info',
  )
  if (counts.ownersNotSet > 0)
    teller.say(
      `The owner of ${String(counts.ownersNotSet)} entries could not be set: only root can.`,
      'warn',
    )
  if (counts.attributesNotSet > 0)
    teller.say(`The system did not take: ${notSetLines(counts).join('; ')}.`, 'warn')
}

const inPlace = async (run: Run, { body, idKey }: Opening, aim: Aim): Promise<void> => {
  const { latest, link, world, boxSecret, giveUp, stop, reading } = run
  const { vault, opening, target: folder, conflict } = latest()
  const opener = { secret: boxSecret, opening }
  const addresses = createAddresses({ link, world, opener, fatal: giveUp, stop })
  const source = createSource({ vault, addresses, reading, giveUp })
  const { objects } = source
  const tree = { objects, packs: createPackRows(objects, body.packs), fence: body.fence }
  const { tag, leftovers } = takeTag(run)
  const target = run.place({
    folder: folder === '' ? '/' : folder,
    tag,
    replace: conflict === 'overwrite',
    leftovers,
    // Where everything goes where it was, each place in it has been asked about.
    allowed: (path) => (folder === '' ? undefined : checkPlaces(run, [path])),
  })
  const extractors = run.extractors(idKey, tag)
  // What is being read is broken off at once; what is being written is done first.
  const close = (): void => void extractors.close()
  stop.addEventListener('abort', close, { once: true })
  try {
    const scene = { tree, aim, body, source, target, extractors }
    if (!target.setsAll) run.teller.say(COARSE, 'warn')
    await lookOver(run, scene)
    await bringBack(run, scene)
  } finally {
    stop.removeEventListener('abort', close)
    await extractors.close()
    target.close()
    if (extractors.untidy !== true) giveTagBack(run, tag)
  }
}

/**
 * Ends when everything that can be restored is; what could not be is counted in the tally. Throws why it was given up:
 * then what stands under its name is right, the rest is not there, and directories that it made are private.
 */
export const runRestore = async (
  parts: RestoreRunParts,
  { order: latest, link, tally, turn }: RestoreRun,
  outside: AbortSignal,
): Promise<void> => {
  const { world, patience, readOnce, boxSecret, genesisOf } = parts
  const failed = new AbortController()
  const stop = AbortSignal.any([outside, failed.signal])
  const giveUp = (error: unknown): void => failed.abort(error)
  const teller = createTeller({ link, tally, world })
  const fetched = (bytes: number): void => {
    tally.bytesFetched += bytes
  }
  const { say } = teller
  const reading = createReading({ world, patience, readOnce, fetched, say, giveUp, stop })
  const run: Run = { ...parts, latest, link, tally, turn, teller, reading, giveUp, stop }
  try {
    const { vault, opening, target } = latest()
    const opener = { secret: boxSecret, opening }
    const opened = await openBackup({ opener, reading, pinned: genesisOf(vault), latest })
    const aim = aimOf(await readWish(link, latest(), stop), target, opened.body)
    checkPlaces(parts, aim.roots)
    sayWhatItIs(run, opened)
    await turn()
    stop.throwIfAborted()
    await inPlace(run, opened, aim)
    sayHowItWent(run)
  } catch (error) {
    const why: unknown = stop.aborted ? stop.reason : error
    teller.say(`Given up: ${problemOf(why)}`, 'error')
    throw why
  } finally {
    await teller.end()
  }
}
