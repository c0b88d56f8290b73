/** The walk of one pass: sources and the local tree before → segments, and the next local tree. */
import { fail } from '#shared/errors.ts'
import type { Fenced } from '#shared/format/fence.ts'
import type { Locator, PackNo } from '#shared/format/locator.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { VaultKeys } from '#shared/format/vault-secret.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import type { Brake } from '../core/brake.ts'
import { createLedger, type Uses } from '../core/live.ts'
import { showBytes } from '../core/open-show.ts'
import type { Problems } from '../core/problems.ts'
import type { WalkPlan } from '../core/sources.ts'
import type { FileSystem, Sealers, StateFolder, World } from '../ports.ts'
import type { Journal } from './journal.ts'
import { openBase } from './parent.ts'
import { createLineUp, type Sink } from './stages/line-up.ts'
import { createVisitor } from './stages/look.ts'
import type { ReadParts } from './stages/place.ts'
import { createReader } from './stages/read.ts'
import { createScanner, type Scanner } from './stages/scan.ts'
import { createTreeStage } from './stages/tree.ts'

export type WalkRun = Omit<ReadParts, 'width' | 'packBytes'> & {
  readonly fs: FileSystem
  readonly state: StateFolder
  readonly world: World
  readonly sealers: Pick<Sealers, 'width'>
  readonly order: Pick<BackupStart, 'pack_bytes'>
  readonly keys: VaultKeys
  readonly journal: Journal
  readonly brake: Brake
}

/** Entries between two looks at the clock of the event loop. */
const STRIDE = 64

/** The walk of one pass: what it is joined with, what it writes, what it counts. */
export type Pass = {
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
const drive = async (run: WalkRun, scanner: Scanner, rooms: Rooms): Promise<void> => {
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

/** What is read goes into the journal as well. */
const noting = (
  tree: Sink,
  { journal, sealing, crew }: Pick<WalkRun, 'journal' | 'sealing' | 'crew'>,
): Sink => ({
  entry: (entry) => {
    tree.entry(entry)
    journal.note(entry)
    for (const kind of journal.wanted()) crew.run(async () => await sealing.flush(kind))
  },
  run: (copied) => tree.run(copied),
})

export type Walked = { readonly fence: readonly Fenced<Locator>[]; readonly content: Uses }

export const walk = async (run: WalkRun, pass: Pass): Promise<Walked> => {
  const { crew, fs, segments, tally, world, journal } = run
  const local = run.state.newBlocks(pass.to)
  const base = openBase(run.state, pass.basePath)
  const live = createLedger(pass.baseContent)
  try {
    const tree = createTreeStage({ segmentKey: run.keys.segmentKey, segments, crew, local })
    const lineUp = createLineUp(noting(tree, run), crew.stop)
    const reader = createReader({
      ...run,
      width: run.sealers.width,
      packBytes: run.order.pack_bytes,
    })
    const now = (): number => world.clock.now()
    const { gone, problems } = pass
    const sources = pass.plan.roots
    const lost = new Set<Bytes>()
    const looking = { fs, now, lineUp, reader, journal, live, gone, tally, problems, sources, lost }
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
