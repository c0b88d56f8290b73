/** One backup: walk, read what changed, pack what is new, commit (ARCHITECTURE.md, "The data path of a backup"). */
import type { RecordHost } from '#shared/format/record.ts'
import type { SigningKey } from '#shared/format/keys.ts'
import type { PackNo } from '#shared/format/locator.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { fail } from '#shared/errors.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { VaultKeys } from '#shared/format/vault-secret.ts'
import type { Brake } from '../core/brake.ts'
import { createLedger, type Uses } from '../core/live.ts'
import { showBytes } from '../core/open-show.ts'
import type { Patience } from '../core/patience.ts'
import { packsToLeave } from '../core/retiring.ts'
import { asLines, createProblems, type Problems } from '../core/problems.ts'
import { newTally, type Tally } from '../core/progress.ts'
import type { Sealed } from '../core/sealing.ts'
import { planWalk, type WalkPlan } from '../core/sources.ts'
import type { ParentFile } from '../core/state.ts'
import type { FileSystem, RunLink, Sealing, Sealers, StateFolder, Upload, World } from '../ports.ts'
import { commit, type CommitParts } from './commit.ts'
import { createCrew, type Crew } from './crew.ts'
import { openKnown, type Known } from './known.ts'
import { createNumbers } from './numbers.ts'
import {
  highestIn,
  openBase,
  readParent,
  saveParent,
  unknownHead,
  sweepTrees,
  treePath,
} from './parent.ts'
import { reportProgress } from './report-progress.ts'
import { lazily } from './sealing.ts'
import { createLineUp } from './stages/line-up.ts'
import { createVisitor } from './stages/look.ts'
import { createReader } from './stages/read.ts'
import { createScanner, type Scanner } from './stages/scan.ts'
import { createSegments, type Segments } from './stages/segments.ts'
import { createTreeStage } from './stages/tree.ts'
import { createUploads, type Uploads } from './uploads.ts'
import { openVault, vaultKeys, type VaultParts } from './vault.ts'

export type BackupParts = {
  readonly fs: FileSystem
  readonly state: StateFolder
  readonly world: World
  readonly sealers: Sealers
  readonly upload: Upload
  readonly patience: Patience
  readonly signer: SigningKey
  readonly organizationKey: string
  readonly host: RecordHost
  /** On while the run is paused. */
  readonly brake: Brake
}

/** `commit.missing` may name packs so often; each time they are written anew from the sources. */
const PASSES = 3
/** Entries between two looks at the clock of the event loop. */
const STRIDE = 64

type Run = BackupParts & {
  readonly order: BackupStart
  readonly link: RunLink
  readonly crew: Crew
  readonly keys: VaultKeys
  readonly known: Known
  readonly uploads: Uploads
  readonly sealing: Sealing
  readonly segments: Segments
  readonly tally: Tally
  readonly started: number
  readonly numbers: ReturnType<typeof createNumbers>
}

/** A sealed pack goes out by itself; only when it is confirmed may a later run count on it. */
const sendSealed = (
  { crew, known, uploads, tally }: Pick<Run, 'crew' | 'known' | 'uploads' | 'tally'>,
  sealed: Sealed,
  release: () => void,
): void => {
  const { kind, no, sha256, headerHash, bytes } = sealed
  const size = bytes.length
  crew.run(async () => {
    const key = await uploads.put({ class: kind, ...sealed })
    known.confirm([{ pack: no, key, size, sha256, headerHash }])
    tally.bytesStored = uploads.bytes
    release()
  })
}

/** The walk of one pass: what it is joined with, what it writes, what it counts. */
type Pass = {
  readonly plan: WalkPlan
  readonly basePath: string | null
  readonly baseContent: Uses
  readonly gone: ReadonlySet<PackNo>
  /** Path of the local tree that it writes. */
  readonly to: string
  readonly problems: Problems
}

type Rooms = readonly (() => Promise<void>)[]

/** Walks to the end, giving the turn away often, and waiting where a stage is full. */
const drive = async (run: Run, scanner: Scanner, rooms: Rooms): Promise<void> => {
  for (let more = true; more;) {
    for (let n = 0; n < STRIDE && more; n += 1) more = scanner.step()
    run.crew.stop.throwIfAborted()
    await run.world.turn()
    for (const room of rooms) await room()
  }
}

/** A backup of nothing that was asked for would say that data is safe when it is not: it ends before it is one. */
const refuseNothing = ({ plan, problems }: Pass, lost: ReadonlySet<Bytes>): void => {
  const given = plan.roots.size + plan.problems.length
  if (given === 0 || lost.size < plan.roots.size) return
  const [first] = problems.kept
  if (first === undefined) return
  const others = given === 1 ? '' : `; nor can the other ${String(given - 1)} of this job be read`
  throw fail('SOURCE_UNREADABLE', {
    path: showBytes(first.path),
    problem: `${first.problem}${others}`,
  })
}

const walk = async (run: Run, pass: Pass): Promise<Pick<WalkResult, 'fence' | 'content'>> => {
  const { crew, fs, segments, tally, world } = run
  const local = run.state.newBlocks(pass.to)
  const base = openBase(run.state, pass.basePath)
  const live = createLedger(pass.baseContent)
  try {
    const tree = createTreeStage({ segmentKey: run.keys.segmentKey, segments, crew, local })
    const lineUp = createLineUp(tree, crew.stop)
    const reader = createReader({
      ...run,
      width: run.sealers.width,
      packBytes: run.order.pack_bytes,
    })
    const now = (): number => world.clock.now()
    const { gone, problems } = pass
    const sources = pass.plan.roots
    const lost = new Set<Bytes>()
    const looking = { fs, now, lineUp, reader, live, gone, tally, problems, sources, lost }
    const visitor = createVisitor(looking)
    const scanner = createScanner({ fs, plan: pass.plan, base: base.cursor, visitor })
    const lineUpRoom = async (): Promise<void> => {
      if (lineUp.full) reader.flush()
      await lineUp.room()
    }
    const paused = async (): Promise<void> => await run.brake.off(crew.stop)
    await drive(run, scanner, [paused, reader.room, segments.room, lineUpRoom])
    tally.isScanned = true
    await reader.idle()
    refuseNothing(pass, lost)
    lineUp.end()
    const fence = await tree.end()
    local.finish()
    return { fence, content: live.uses() }
  } finally {
    base.close()
    local.discard()
  }
}

type WalkResult = {
  readonly fence: CommitWritten['fence']
  readonly content: Uses
  readonly problems: Problems
}
type CommitWritten = Parameters<typeof commit>[1]

const resetCounts = (tally: Tally): void => {
  const fresh = newTally()
  const { bytesRead, bytesNew, bytesStored } = tally
  Object.assign(tally, { ...fresh, bytesRead, bytesNew, bytesStored })
}

/** Packs that lines of the local tree use and that are not there: what lies in them is read again. */
const lostPacks = (known: Known, uses: Uses): ReadonlySet<PackNo> =>
  new Set(uses.map(([pack]) => pack).filter((pack) => known.row(pack) === undefined))

const planOf = (order: BackupStart, problems: Problems, tally: Tally): WalkPlan => {
  const plan = planWalk(order.sources)
  for (const { path, problem } of plan.problems) {
    tally.errors += 1
    problems.add(Buffer.from(path, 'utf8').toString('latin1'), 'SOURCE_UNREADABLE', problem)
  }
  return plan
}

const BLIND =
  'Extended attributes, access lists and holes of files are not backed up: the package koffi cannot be loaded here.'

const passes = async (run: Run, parent: ParentFile | null): Promise<void> => {
  const { order, state, known, tally, link } = run
  const say = (message: string): void =>
    link.tell('log', { level: 'warn', message: message.slice(0, 2000) })
  if (!run.fs.seesAll) say(BLIND)
  const unknown = unknownHead(parent, order)
  if (unknown !== null) say(unknown)
  let basePath = parent === null ? null : treePath(order.job, parent.tree)
  let baseContent: Uses = parent?.content ?? []
  let gone = lostPacks(known, baseContent)
  for (let pass = 1; pass <= PASSES; pass += 1) {
    resetCounts(tally)
    // A second pass meets the same ones again.
    const problems = createProblems(pass === 1 ? asLines(say) : undefined)
    const plan = planOf(order, problems, tally)
    const tree = `tree-${order.run}-${String(pass)}.zst`
    const to = treePath(order.job, tree)
    const { fence, content } = await walk(run, { plan, basePath, baseContent, gone, to, problems })
    const parts: CommitParts = { ...run, segmentKey: run.keys.segmentKey, problems }
    const outcome = await commit(parts, { fence, content, parent })
    if (outcome.done) {
      saveParent(state, order.job, {
        version: 1,
        vault: order.vault.id,
        backup: order.run,
        sequence: outcome.sequence,
        record_sha256: outcome.recordSha256,
        tree,
        content: content.map(([pack, bytes]) => [pack, bytes]),
        structure: outcome.structure.map(([pack, bytes]) => [pack, bytes]),
        gc_epoch: outcome.gcEpoch,
      })
      return
    }
    const missing = new Set(outcome.missing)
    known.forget(missing)
    run.world.log.warn(
      { run: order.run, packs: missing.size },
      'packs are gone; reading their files again',
    )
    basePath = to
    baseContent = content
    gone = missing
  }
  throw fail('INTERNAL_AGENT', { problem: 'packs were missing again and again' })
}

const recipientsOf = (order: BackupStart): { pack: string[]; tree: string[] } => {
  const { content, recovery, list } = order.vault.recipients
  return { pack: [...content, ...recovery], tree: [...content, ...recovery, ...list] }
}

const goneOf = ({ forget, gone }: BackupStart): readonly PackNo[] | 'all' =>
  forget === true ? 'all' : gone

/**
 * Runs the order to its commit. Throws what went wrong; whatever it throws, and wherever the machine dies, the local
 * state is that of the backup before, and what was confirmed is not sent again.
 */
export const runBackup = async (
  parts: BackupParts,
  order: BackupStart,
  link: RunLink,
  stop: AbortSignal,
): Promise<void> => {
  const { state, world } = parts
  const started = world.clock.now()
  const crew = createCrew(stop)
  const tally = newTally()
  const vault: VaultParts = parts
  const keys = vaultKeys(vault, order.vault)
  const before = readParent(state, order.job, { vault: order.vault.id, log: world.log })
  const left = packsToLeave(order.retired ?? [], before)
  const known = openKnown(state, order.vault.id, { gone: goneOf(order), left })
  const uploads = createUploads({ ...parts, link }, crew.stop)
  const setup = {
    idKey: keys.idKey,
    chunkerKey: keys.chunkerKey,
    ...recipientsOf(order),
    packBytes: order.pack_bytes,
  }
  const sealing = lazily(() =>
    parts.sealers.start(setup, (sealed, release) =>
      sendSealed({ crew, known, uploads, tally }, sealed, release),
    ),
  )
  const numbers = createNumbers(link, Math.max(known.highest, highestIn(before)), crew.stop)
  const packBytes = order.pack_bytes
  const segments = createSegments({ sealing, known, numbers, packBytes }, crew.stop)
  const run: Run = {
    ...parts,
    order,
    link,
    crew,
    keys,
    known,
    uploads,
    sealing,
    segments,
    tally,
    started,
    numbers,
  }
  const finished = new AbortController()
  const reporting = reportProgress(run, AbortSignal.any([crew.stop, finished.signal]))
  try {
    sweepTrees(state, order.job, before?.tree ?? null)
    await openVault(vault, order.vault, { link, uploads, stop: crew.stop })
    await passes(run, before)
  } catch (error) {
    // The first failure stops everything; what follows from it is not what went wrong.
    throw crew.stop.aborted ? crew.stop.reason : error
  } finally {
    finished.abort()
    await Promise.all([crew.disband(fail('CANCELED')), sealing.close()])
    await reporting
    known.close()
  }
}
