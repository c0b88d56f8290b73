/**
 * Verification, levels `objects`, `sample` and `full`: the objects of a backup as they lie in the storage, against its
 * signed pack table. No key of the content is needed. Where it is kept with its claim, so that it goes on after a crash, and
 * gives way to others that wait.
 */
import { toHex } from '#shared/format/bytes.ts'
import { Failure } from '#shared/errors.ts'
import { ahead } from '#shared/read/ahead.ts'
import { checkKey } from '#shared/read/object.ts'
import { parser } from '#shared/schema.ts'
import { isVaultFault } from '../../core/backup-file.ts'
import { Checkpoint, type Damaged, MOST_DAMAGED } from '../../core/verification/checkpoint.ts'
import { isInShare, sampleShare } from '../../core/verification/sample.ts'
import type { VerificationJob } from '../../ports/verifications.ts'
import { readBackup, type ReadBackup } from '../read-backup.ts'
import { committedFor, waiter } from '../reading/open-content.ts'
import { checkObject, type Expected, type Looking } from './check-object.ts'
import { type Broken, type Signed, type Structure, structureOf, tableRows } from './list-objects.ts'
import { findingsOf } from './object-findings.ts'
import {
  createTurn,
  settle,
  type Turn,
  type VerifyWork,
  wholeBackup,
  type WorkParts,
} from './turn.ts'

/** Looks under way at once: nearly all of one is waiting; and reads, of 4 MiB each. */
const HEADS = 16
const READS = 2

type Stand = { -readonly [K in keyof Checkpoint]: Checkpoint[K] }

type Session = {
  readonly parts: WorkParts
  readonly job: VerificationJob
  readonly backup: ReadBackup
  readonly structure: Structure
  readonly looking: Looking
  readonly how: 'head' | 'read'
  readonly stand: Stand
}

const SEED = 16

const parseStand = parser(Checkpoint)

const isWanted = (
  { stand, structure }: Pick<Session, 'stand' | 'structure'>,
  no: number,
): boolean => isInShare(stand, no) || structure.broken.some(({ object }) => object.pack === no)

/** How much there is, from the table alone: some hundred rows with one small read. */
const measure = async (
  backup: ReadBackup,
  structure: Structure,
): Promise<{ readonly objects: number; readonly bytes: number }> => {
  let objects = structure.objects.length
  let bytes = structure.objects.reduce((sum, { size }) => sum + size, 0)
  for await (const rows of tableRows(backup, 0)) {
    if ('failure' in rows) continue
    objects += rows.length
    bytes += rows.reduce((sum, { size }) => sum + size, 0)
  }
  return { objects, bytes }
}

/** Where the last one left it; from the beginning where that was before the first object of the tree. */
const standOf = async ({
  parts,
  job,
  backup,
  structure,
}: Omit<Session, 'stand' | 'looking' | 'how'>): Promise<Stand> => {
  const kept = parseStand(job.checkpoint)
  if ('ok' in kept && kept.ok.after > 0) return { ...kept.ok, damaged: [...kept.ok.damaged] }
  const all = await measure(backup, structure)
  const share = job.level === 'sample' ? sampleShare(all) : 1
  return {
    seed: toHex(parts.random(SEED)),
    share,
    bytes_total: Math.floor(all.bytes * share),
    stage: 'structure',
    after: 0,
    objects: 0,
    bytes: 0,
    damaged: [],
    damaged_count: 0,
  }
}

type Item = {
  /** Null: an object of the vault itself, or a part of the table that cannot be read. */
  readonly at: { readonly stage: Stand['stage']; readonly no: number } | null
  readonly no: number | null
  readonly whole: boolean
  readonly expected: Expected
  /** What is wrong with it beside its bytes. */
  readonly known: Failure | null
}

async function* ownItems({ parts, backup }: Session): AsyncGenerator<Item, void, void> {
  const own = await parts.storedObjects.own(backup.committed)
  for (const one of own)
    yield { at: null, no: null, whole: one.class !== 'key', expected: one, known: null }
}

/** A signed row still must name an object that the vault can have. */
const keyProblem = ({ backup }: Session, signed: Signed): Failure | null => {
  try {
    checkKey(backup.committed.vault, signed)
    return null
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
}

async function* signedItems(
  session: Session,
  stage: Stand['stage'],
  all: readonly Signed[],
): AsyncGenerator<Item, void, void> {
  const { parts, backup, structure, how } = session
  const wanted = all.filter(({ pack }) => isWanted(session, pack))
  const nos = wanted.map(({ pack }) => pack)
  const etags =
    how === 'head'
      ? await parts.storedObjects.etags(backup.committed.vault, nos)
      : new Map<string, string>()
  for (const signed of wanted) {
    const { pack: no, key, size, sha256 } = signed
    const broken = structure.broken.find(({ object }) => object.pack === no)
    yield {
      at: { stage, no },
      no,
      whole: false,
      expected: { key, size, sha256, etag: etags.get(key) ?? null },
      known: keyProblem(session, signed) ?? broken?.failure ?? null,
    }
  }
}

const brokenItem = ({ object, failure }: Broken): Item => ({
  at: null,
  no: object.pack,
  whole: false,
  expected: { ...object, etag: null },
  known: failure,
})

/** Everything that is left, in order. */
async function* itemsOf(session: Session): AsyncGenerator<Item, void, void> {
  const { backup, structure, stand } = session
  const { stage, after } = stand
  if (after === 0) yield* ownItems(session)
  if (stage === 'structure')
    yield* signedItems(
      session,
      'structure',
      structure.objects.filter(({ pack }) => pack > after),
    )
  for await (const rows of tableRows(backup, stage === 'packs' ? after : 0)) {
    if ('failure' in rows) yield brokenItem(rows)
    else yield* signedItems(session, 'packs', rows)
  }
}

type Seen = { readonly item: Item; readonly failure: Failure | null }

const look = async ({ looking, how }: Session, item: Item): Promise<Seen> => {
  if (item.known !== null) return { item, failure: item.known }
  return { item, failure: await checkObject(looking, item.expected, how) }
}

const noteDamage = ({ stand }: Session, { item, failure }: Seen): void => {
  if (failure === null) return
  const { key } = item.expected
  // A part of the table that cannot be read is met again with its object.
  if (stand.damaged.some((one) => one.key === key)) return
  stand.damaged_count += 1
  if (stand.damaged.length >= MOST_DAMAGED) return
  const { code, message } = failure
  const damage: Damaged = { no: item.no, key, code, problem: message, whole: item.whole }
  stand.damaged = [...stand.damaged, damage]
}

const noteSeen = (session: Session, seen: Seen): void => {
  const { stand } = session
  noteDamage(session, seen)
  const { at, expected } = seen.item
  stand.objects += 1
  stand.bytes += expected.size
  if (at === null) return
  stand.stage = at.stage
  stand.after = at.no
}

const progressOf = ({ bytes_total, bytes, damaged_count }: Stand) => ({
  bytes_total: Math.max(bytes_total, bytes),
  bytes_done: bytes,
  files_done: 0,
  problem_count: damaged_count,
})

const begin = async (
  parts: WorkParts,
  job: VerificationJob,
  { stop, pace }: Pick<Turn, 'stop' | 'pace'>,
): Promise<Session> => {
  const committed = await committedFor(parts, job)
  const waitOut = waiter(parts, stop)
  const spend = async (bytes: number): Promise<void> => pace(bytes, stop)
  const backup = await readBackup(parts, committed, { stop, waitOut, spend, headers: 'storage' })
  const structure = await structureOf(backup)
  const store = await parts.stores.open(committed.storage)
  const looking = { store, clock: parts.clock, stop, waitOut, pace }
  const stand = await standOf({ parts, job, backup, structure })
  return {
    parts,
    job,
    backup,
    structure,
    looking,
    stand,
    how: job.level === 'objects' ? 'head' : 'read',
  }
}

/** `false`: its turn is over, and it is given back. */
const checkAll = async (session: Session, turn: Turn): Promise<boolean> => {
  const { stand, how } = session
  // Before the first object of the tree there is nothing to go on from.
  const kept = () => ({
    progress: progressOf(stand),
    checkpoint: stand.after === 0 ? null : { ...stand },
  })
  turn.report(kept())
  const looks = ahead(itemsOf(session), how === 'head' ? HEADS : READS, async (item) =>
    look(session, item),
  )
  for await (const seen of looks) {
    noteSeen(session, seen)
    turn.report(kept())
    if (seen.item.at !== null && turn.isOver()) {
      await turn.giveBack(kept())
      return false
    }
  }
  return true
}

export const verifyObjects =
  (parts: WorkParts): VerifyWork =>
  async (claim, how) => {
    const turn = createTurn(parts, claim, how)
    let session: Session
    try {
      session = await begin(parts, claim.job, turn)
    } catch (error) {
      if (!(error instanceof Failure) || !isVaultFault(error)) throw error
      await settle(parts, claim, wholeBackup(error))
      return
    }
    if (!(await checkAll(session, turn))) return
    const { stand, backup } = session
    const found = await findingsOf(parts, backup, stand)
    how.stop.throwIfAborted()
    await settle(parts, claim, {
      progress: { ...progressOf(stand), problem_count: found.problem_count },
      result: {
        ...found,
        status: found.problem_count === 0 ? 'passed' : 'failed',
        files: 0,
        objects: stand.objects,
        bytes: stand.bytes,
      },
    })
  }
