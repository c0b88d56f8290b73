/** Asks for a download: a row that some replica works on; and how one is shown, with its links. */
import { DEFAULT_LIFE_SECONDS, type Download, type DownloadInput } from '#shared/api/downloads.ts'
import { showPath } from '#shared/api/file-ids.ts'
import { fail } from '#shared/errors.ts'
import { type DownloadId, makeId, type OpenRequestId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Random } from '#shared/world.ts'
import type { Caller } from '../../core/caller.ts'
import { attachment } from '../../core/download-names.ts'
import { parseWanted, type Wanted } from '../../core/selection.ts'
import type { Downloads, DownloadView } from '../../ports/downloads.ts'
import type { OpenRequests } from '../../ports/open-requests.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import { foundId } from '../found.ts'
import { type Browsing, entryAt, openForBrowsing } from '../reading/browse-backup.ts'

export type DownloadParts = Browsing & {
  readonly downloads: Downloads
  readonly openRequests: Pick<OpenRequests, 'get' | 'approval' | 'openerSecret'>
  readonly clock: Clock
  readonly random: Random
  /** Tells the worker that there is work; nothing is lost if nobody listens, since it also looks by itself. */
  wakeWorker(): void
}

/** How long an answer waits for the links. */
const PATIENCE: Ms = 10 * SECOND
const LOOK: Ms = 100
/** With more names the answer is always a download. */
export const MOST_LINKS = 100
/** Paths that are looked for before the download begins, so that a typing error is told at once. */
const MOST_CHECKED = 100

/** `KEY_REQUIRED` where only the customer can open the content, and has not done so for the control plane. */
const openRequestFor = async (
  { openRequests }: Pick<DownloadParts, 'openRequests'>,
  [caller, committed]: readonly [Caller, CommittedBackup],
  { given, instead }: { readonly given: string | undefined; readonly instead: string },
): Promise<OpenRequestId | null> => {
  if (committed.keyType === 'managed') return null
  const problem = (text: string): Error => fail('KEY_REQUIRED', { problem: `${text}; ${instead}` })
  if (given === undefined) throw problem('the content opens with a key of the customer only')
  const id = await foundId('open request', given, async (one: OpenRequestId) =>
    openRequests.get(caller, one),
  )
  const approval = await openRequests.approval(id)
  if (approval === null) throw problem('the open request is not approved, or its time is over')
  if (approval.backup !== committed.backup || (await openRequests.openerSecret(id)) === null)
    throw fail('VALIDATION_FAILED', {
      field: 'open_request_id',
      problem: 'is a request about another backup, or for another opener than the control plane',
    })
  return id
}

/** `RESOURCE_NOT_FOUND` for a path that the backup does not have. */
const checkPaths = async (
  parts: DownloadParts,
  committed: CommittedBackup,
  [wanted, stop]: readonly [readonly Wanted[], AbortSignal],
): Promise<void> => {
  const paths = wanted.filter(({ glob, raw }) => !glob && raw !== '/')
  if (paths.length === 0) return
  const { tree } = await openForBrowsing(parts, committed, stop)
  for (const { raw } of paths.slice(0, MOST_CHECKED)) {
    const line = await entryAt(tree, raw)
    if (line === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'file', id: showPath(raw) })
    checkContent(raw, line.entry.type === 'file' ? line.entry.skipped : undefined)
  }
}

const checkContent = (path: string, skipped: string | undefined): void => {
  if (skipped === undefined) return
  throw fail('INVALID_STATE', {
    resource: `The content of ${showPath(path)}`,
    status: `not in the backup (${skipped})`,
  })
}

/** The new download, which nobody has begun yet. */
export const startDownload = async (
  parts: DownloadParts,
  [caller, committed]: readonly [Caller, CommittedBackup],
  [input, name, stop]: readonly [DownloadInput, string, AbortSignal],
): Promise<DownloadId> => {
  if (input.opener_key !== undefined)
    throw fail('VALIDATION_FAILED', { field: 'opener_key', problem: 'belongs to "parts"' })
  const wanted = parseWanted(input.files ?? [])
  const openRequest = await openRequestFor(parts, [caller, committed], {
    given: input.open_request_id,
    instead: 'take the format "parts", or give an approved open_request_id',
  })
  await checkPaths(parts, committed, [wanted, stop])
  const id = makeId<'download'>(parts.clock.now(), parts.random(10))
  await parts.downloads.add(caller, {
    id,
    of: committed,
    name: input.name ?? name,
    wanted,
    openRequest,
    expiresIn: input.expires_in ?? DEFAULT_LIFE_SECONDS,
  })
  parts.wakeWorker()
  return id
}

/** Waits until it is over, or for as long as an answer may wait. `null`: it was removed meanwhile. */
export const awaitDownload = async (
  { downloads, clock }: Pick<DownloadParts, 'downloads' | 'clock'>,
  [caller, id]: readonly [Caller, DownloadId],
  stop: AbortSignal,
): Promise<DownloadView | null> => {
  const end = clock.monotonic() + PATIENCE
  for (;;) {
    const view = await downloads.get(caller, id)
    const isOver = view?.download.status !== 'pending'
    if (isOver || clock.monotonic() >= end || stop.aborted) return view
    await clock.sleep(LOOK, stop).catch(() => undefined)
  }
}

/** With links that live as long as the download does. */
export const showDownload = async (
  { stores }: Pick<DownloadParts, 'stores'>,
  { download, storage, objects, seconds }: DownloadView,
): Promise<Download> => {
  const links = new Map<string, string>()
  if (seconds > 0) {
    const store = await stores.open(storage)
    for (const { key, name } of objects)
      links.set(name, store.signGet({ key, expiresIn: seconds, disposition: attachment(name) }))
  }
  return {
    ...download,
    files: objects.slice(0, MOST_LINKS).map(({ name, path, size }) => ({
      name,
      path: path === null ? null : showPath(path),
      size,
      url: links.get(name) ?? null,
    })),
    file_count: objects.length,
    links: Object.fromEntries(links),
  }
}
