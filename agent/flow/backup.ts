/** One backup: walk, read what changed, pack what is new, commit (ARCHITECTURE.md, "The data path of a backup"). */
import type { RecordHost } from '#shared/format/record.ts'
import type { SigningKey } from '#shared/format/keys.ts'
import type { PackNo } from '#shared/format/locator.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { fail } from '#shared/errors.ts'
import type { VaultKeys } from '#shared/format/vault-secret.ts'
import type { Brake } from '../core/brake.ts'
import type { Uses } from '../core/live.ts'
import type { Patience } from '../core/patience.ts'
import { packsToLeave } from '../core/retiring.ts'
import { asLines, createProblems, type Problems } from '../core/problems.ts'
import { newTally, type Tally } from '../core/progress.ts'
import type { Sealed } from '../core/sealing.ts'
import { planWalk, type WalkPlan } from '../core/sources.ts'
import type { ParentFile } from '../core/state.ts'
import type {
  FileSystem,
  RunLink,
  Sealing,
  SealingSetup,
  Sealers,
  StateFolder,
  Upload,
  World,
} from '../ports.ts'
import { commit, type CommitParts } from './commit.ts'
import { createCrew, type Crew } from './crew.ts'
import { openJournal, type Journal } from './journal.ts'
import { openKnown, type Known } from './known.ts'
import { createNumbers } from './numbers.ts'
import { highestIn, readParent, saveParent, sweepTrees, treePath, unknownHead } from './parent.ts'
import { reportProgress } from './report-progress.ts'
import { lazily } from './sealing.ts'
import { createSegments, type Segments } from './stages/segments.ts'
import { createUploads, type Uploads } from './uploads.ts'
import { openVault, vaultKeys } from './vault.ts'
import { walk } from './walk.ts'

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

type Run = BackupParts & {
  readonly order: BackupStart
  readonly link: RunLink
  readonly crew: Crew
  readonly keys: VaultKeys
  readonly known: Known
  readonly journal: Journal
  readonly uploads: Uploads
  readonly sealing: Sealing
  readonly segments: Segments
  readonly tally: Tally
  readonly started: number
  readonly numbers: ReturnType<typeof createNumbers>
}

type Confirming = 'crew' | 'known' | 'journal' | 'uploads' | 'tally'

/** A sealed pack goes out by itself; only when it is confirmed may a later run count on it. */
const sendSealed = (
  { crew, known, journal, uploads, tally }: Pick<Run, Confirming>,
  sealed: Sealed,
  release: () => void,
): void => {
  const { kind, no, sha256, headerHash, bytes } = sealed
  const size = bytes.length
  crew.run(async () => {
    const key = await uploads.put({ class: kind, ...sealed })
    known.confirm([{ pack: no, key, size, sha256, headerHash }])
    journal.move()
    tally.bytesStored = uploads.bytes
    release()
  })
}

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
    run.journal.rest()
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
      run.journal.remove()
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

const setupOf = (order: BackupStart, { idKey, chunkerKey }: VaultKeys): SealingSetup => ({
  idKey,
  chunkerKey,
  ...recipientsOf(order),
  packBytes: order.pack_bytes,
})

const goneOf = ({ forget, gone }: BackupStart): readonly PackNo[] | 'all' =>
  forget === true ? 'all' : gone

const journalOf = async (
  { state, world }: BackupParts,
  { order, keys, known }: Pick<Run, 'order' | 'keys' | 'known'>,
): Promise<Journal> => {
  const { job, vault, gc_epoch: gcEpoch, pack_bytes: packBytes } = order
  const roots = [...planWalk(order.sources).roots.keys()]
  const { catalog_epoch: catalogEpoch } = order
  const ties = { idKey: keys.idKey, vault: vault.id, job, roots, catalogEpoch }
  return await openJournal({ state, world, known, ties, gcEpoch, packBytes }, job)
}

/**
 * Runs the order to its commit. Throws what went wrong; whatever it throws, and wherever the machine dies, the local
 * state is that of the backup before; what was confirmed is not sent again, and finished files are not read again.
 */
export const runBackup = async (
  parts: BackupParts,
  order: BackupStart,
  link: RunLink,
  stop: AbortSignal,
): Promise<void> => {
  const { state, world } = parts
  const started = world.clock.now()
  const [crew, tally] = [createCrew(stop), newTally()]
  const keys = vaultKeys(parts, order.vault)
  const before = readParent(state, order.job, { vault: order.vault.id, log: world.log })
  const left = packsToLeave(order.retired ?? [], before)
  const known = openKnown(state, order.vault.id, { gone: goneOf(order), left })
  const journal = await journalOf(parts, { order, keys, known })
  const uploads = createUploads({ ...parts, link }, crew.stop)
  const setup = setupOf(order, keys)
  const sealing = lazily(() =>
    parts.sealers.start(setup, (sealed, release) =>
      sendSealed({ crew, known, journal, uploads, tally }, sealed, release),
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
    journal,
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
    await openVault(parts, order.vault, { link, uploads, stop: crew.stop })
    await passes(run, before)
  } catch (error) {
    // The first failure stops everything; what follows from it is not what went wrong.
    throw crew.stop.aborted ? crew.stop.reason : error
  } finally {
    finished.abort()
    await Promise.all([crew.disband(fail('CANCELED')), sealing.close()])
    await reporting
    journal.close()
    known.close()
  }
}
