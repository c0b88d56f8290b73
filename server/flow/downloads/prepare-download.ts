/** A download from its claim to its links: planned, then object by object read, checked, encrypted anew and written. */
import { fail } from '#shared/errors.ts'
import { toHex } from '#shared/format/bytes.ts'
import { downloadKey } from '#shared/format/layout.ts'
import { MiB } from '#shared/units.ts'
import { wishOf } from '../../core/selection.ts'
import type { DownloadJob, DownloadProgress, Downloads } from '../../ports/downloads.ts'
import type { Claim } from '../../ports/tasks.ts'
import { eachOf } from '../agent-parts.ts'
import { committedFor, openContent, type Opened, type OpenParts } from '../reading/open-content.ts'
import type { Work } from '../tasks/run-task.ts'
import { type Note, objectBytes } from './archive.ts'
import { planDownload, type PlannedObject } from './plan-download.ts'
import { writeObject } from './write-object.ts'

export type PrepareParts = OpenParts & { readonly downloads: Downloads }

/** Small objects are mostly waiting for the storage. */
const SMALL = MiB
const SMALL_AT_ONCE = 8

const isSmall = ({ bound }: PlannedObject): boolean => bound <= SMALL

type Doing = {
  readonly parts: PrepareParts
  readonly claim: Claim<DownloadJob>
  readonly opened: Opened
  readonly stop: AbortSignal
  readonly note: Note
}

const lost = (): Error => fail('LEASE_LOST', { run: 'of this download' })

const writeOne = async (
  { parts, claim, opened, stop, note }: Doing,
  object: PlannedObject,
): Promise<void> => {
  const { downloads, random, clock } = parts
  const { no, name, path, bound } = object
  const key = downloadKey(toHex(random(16)))
  if (!(await downloads.begin(claim, { no, key, name, path }))) throw lost()
  const store = await parts.stores.open(claim.job.storage)
  const { recipients } = opened.backup.chain
  const size = await writeObject(
    { store, random, clock },
    { key, recipients: recipients.content, bound },
    [objectBytes(opened, object, note), stop],
  )
  if (!(await downloads.stored(claim, key, size))) throw lost()
}

/** What earlier attempts have stored is kept. */
export const prepareDownload =
  (parts: PrepareParts): Work<DownloadJob, DownloadProgress> =>
  async (claim, how) => {
    const { stop } = how
    const { job } = claim
    const committed = await committedFor(parts, job)
    const opened = await openContent(parts, [committed, job.openRequest], { stop })
    const plan = await planDownload(opened.backup.tree, [wishOf(job.wanted), job.name])
    const stored = new Map((await parts.downloads.objects(claim)).map((one) => [one.no, one]))
    const progress = { bytes_total: plan.bytes, bytes_done: 0, files_done: 0 }
    const note: Note = {
      content: (bytes) => {
        progress.bytes_done += bytes
        how.report({ ...progress })
      },
      entry: () => {
        progress.files_done += 1
        how.report({ ...progress })
      },
    }
    how.report({ ...progress })
    const doing = { parts, claim, opened, stop, note }
    const write = async (object: PlannedObject): Promise<void> => {
      stop.throwIfAborted()
      if (stored.has(object.no)) note.content(object.bytes)
      else await writeOne(doing, object)
    }
    await eachOf(plan.objects.filter(isSmall), SMALL_AT_ONCE, write)
    await eachOf(
      plan.objects.filter((object) => !isSmall(object)),
      1,
      write,
    )
    if (!(await parts.downloads.ready(claim, progress))) throw lost()
    await parts.reading.used(job.backup)
  }
