/**
 * Format `parts`: addresses of the objects that a selection needs, and their keys sealed to whoever asks. Everything that
 * a client needs to verify by itself is with it: the chain of signers, the record, and the trees on the way.
 */
import { fileId, showPath } from '#shared/api/file-ids.ts'
import {
  DEFAULT_LIFE_SECONDS,
  type DownloadInput,
  type Part,
  type Parts,
  type StoredPart,
} from '#shared/api/downloads.ts'
import { fail, hasCode } from '#shared/errors.ts'
import { openHeader } from '#shared/format/age.ts'
import { parseBase64url, toBase64url } from '#shared/format/bytes.ts'
import type { Identity } from '#shared/format/keys.ts'
import type { Locator, PackNo } from '#shared/format/locator.ts'
import { makeId, type OpenRequestId } from '#shared/ids.ts'
import { sealedFor } from '#shared/protocol/open-request.ts'
import { sealerTo } from '#shared/seal.ts'
import { SECOND } from '#shared/units.ts'
import type { Clock, Random } from '#shared/world.ts'
import { showLost } from '../../core/backup-file.ts'
import type { Caller } from '../../core/caller.ts'
import { type ByteRange, rangesOf } from '../../core/part-ranges.ts'
import { parseWanted, wishOf } from '../../core/selection.ts'
import type { VaultStore } from '../../ports.ts'
import type { OpenRequests } from '../../ports/open-requests.ts'
import type {
  CommittedBackup,
  PackObject,
  StoredRow,
  VaultIdentities,
} from '../../ports/reading.ts'
import { foundId } from '../found.ts'
import { idKeyOf, type ReadBackup } from '../read-backup.ts'
import { type Browsing, openForBrowsing } from '../reading/browse-backup.ts'
import {
  type SelectBounds,
  selectObjects,
  type SelectedObjects,
  type Touched,
} from './select-objects.ts'

export type PartsParts = Browsing & {
  readonly openRequests: Pick<OpenRequests, 'get' | 'approval' | 'sealedKeys'>
  readonly clock: Clock
  readonly random: Random
}

const BOUNDS: SelectBounds = { objects: 10_000, files: 10_000, locators: 100_000, segments: 64 }
/** Rows of the catalog at once. */
const PAGE = 1000

/** What keys are sealed with, and which keys there are. */
type Opening = {
  readonly id: string
  readonly expiresIn: number
  readonly seal: (plaintext: Uint8Array, purpose: string) => Uint8Array
  /** An approved request: its keys are sealed to the opener already. */
  readonly request: { readonly id: OpenRequestId; readonly sealedIdKey: Uint8Array } | null
}

const openerKey = (text: string | undefined): Uint8Array => {
  const key = text === undefined ? null : parseBase64url(text, 32)
  if (key !== null) return key
  const problem = text === undefined ? 'is required with "parts"' : 'is not base64url of 32 bytes'
  throw fail('VALIDATION_FAILED', { field: 'opener_key', problem })
}

const sealerFor = (parts: PartsParts, key: Uint8Array): Opening['seal'] => {
  try {
    return sealerTo(key, parts.random(32))
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error
    const details = { field: 'opener_key', problem: 'is a point of low order' }
    throw fail('VALIDATION_FAILED', details, { cause: error })
  }
}

/** `KEY_REQUIRED` while it is not approved. */
const approvedRequest = async (
  parts: PartsParts,
  [caller, committed]: readonly [Caller, CommittedBackup],
  { given, key }: { readonly given: string; readonly key: Uint8Array },
): Promise<NonNullable<Opening['request']>> => {
  const id = await foundId('open request', given, async (one: OpenRequestId) =>
    parts.openRequests.get(caller, one),
  )
  const approval = await parts.openRequests.approval(id)
  if (approval === null)
    throw fail('KEY_REQUIRED', { problem: 'the open request is not approved, or its time is over' })
  const wrong = (field: string, problem: string): Error =>
    fail('VALIDATION_FAILED', { field, problem })
  if (approval.backup !== committed.backup)
    throw wrong('open_request_id', 'is a request about another backup')
  if (!Buffer.from(approval.openerKey).equals(key))
    throw wrong('opener_key', 'is not the key that the open request names')
  return { id, sealedIdKey: approval.sealedIdKey }
}

const openingOf = async (
  parts: PartsParts,
  [caller, committed]: readonly [Caller, CommittedBackup],
  input: DownloadInput,
): Promise<Opening> => {
  const key = openerKey(input.opener_key)
  const request =
    input.open_request_id === undefined
      ? null
      : await approvedRequest(parts, [caller, committed], { given: input.open_request_id, key })
  return {
    id: request?.id ?? makeId(parts.clock.now(), parts.random(10)),
    expiresIn: input.expires_in ?? DEFAULT_LIFE_SECONDS,
    seal: sealerFor(parts, key),
    request,
  }
}

type Desk = {
  readonly parts: PartsParts
  readonly committed: CommittedBackup
  readonly opening: Opening
  readonly identities: VaultIdentities
  readonly store: VaultStore
}

const storedPart = (
  { opening, store }: Desk,
  row: StoredRow,
  sealed: Uint8Array | null,
): StoredPart => ({
  object: row.key,
  url: store.signGet({ key: row.key, expiresIn: opening.expiresIn }),
  size: row.size,
  sha256: row.sha256,
  header: toBase64url(row.header),
  ...(sealed === null ? {} : { sealed_file_key: toBase64url(sealed) }),
})

/** The object's file key, sealed. A header that does not open is damage that the reader will find: no key for it. */
const sealKey = (
  { opening }: Desk,
  {
    header,
    fileKey,
    identity,
  }: Pick<StoredRow, 'header' | 'fileKey'> & { readonly identity: Identity },
  purpose: string,
): Uint8Array | null => {
  try {
    return opening.seal(fileKey ?? openHeader(header, [identity]), purpose)
  } catch (error) {
    if (hasCode(error, 'DAMAGED') || hasCode(error, 'WRONG_KEY')) return null
    throw error
  }
}

/** Keys of packs that a customer's key holder has given, by number. */
type Given = ReadonlyMap<PackNo, Uint8Array>

const objectPart = (
  desk: Desk,
  object: PackObject,
  { ranges, given }: { readonly ranges: ByteRange[]; readonly given: Given },
): Part => {
  const { opening, identities } = desk
  const identity = object.class === 'tree' ? identities.list : identities.content
  const purpose = sealedFor.object(opening.id, object.no)
  const known = given.get(object.no) ?? null
  const sealed =
    known ?? (identity === null ? null : sealKey(desk, { ...object, identity }, purpose))
  return { ...storedPart(desk, object, sealed), ranges }
}

const givenKeys = async ({ parts, opening }: Desk, packs: readonly PackNo[]): Promise<Given> =>
  opening.request === null || packs.length === 0
    ? new Map()
    : parts.openRequests.sealedKeys(opening.request.id, packs)

type Lists = { readonly parts: Part[]; readonly trees: Part[] }

/** Of everything: what the catalog says that the backup uses. */
const partsOfAll = async (desk: Desk): Promise<Lists> => {
  const lists: Lists = { parts: [], trees: [] }
  for (let after = 0; ;) {
    const rows = await desk.parts.reading.packsOf(desk.committed, after, PAGE)
    const packs = rows.filter((row) => row.class === 'pack').map(({ no }) => no)
    const given = await givenKeys(desk, packs)
    for (const row of rows)
      lists[row.class === 'tree' ? 'trees' : 'parts'].push(
        objectPart(desk, row, { ranges: [[0, row.size]], given }),
      )
    if (lists.parts.length + lists.trees.length > BOUNDS.objects) throw tooMany()
    const last = rows.at(-1)
    if (rows.length < PAGE || last === undefined) return lists
    after = last.no
  }
}

const tooMany = (): Error =>
  fail('LIMIT_EXCEEDED', {
    limit: BOUNDS.objects,
    what: 'objects in one download of parts: choose fewer files, or restore them onto a server',
  })

const touchedParts = async (
  desk: Desk,
  touched: ReadonlyMap<PackNo, Touched>,
  given: Given,
): Promise<Part[]> => {
  const nos = [...touched.keys()].sort((a, b) => a - b)
  const rows = new Map<PackNo, PackObject>()
  for (let from = 0; from < nos.length; from += PAGE) {
    const page = await desk.parts.reading.packs(desk.committed.vault, nos.slice(from, from + PAGE))
    for (const row of page) rows.set(row.no, row)
  }
  return nos.flatMap((no) => {
    const one = touched.get(no)
    return one === undefined ? [] : [touchedPart(desk, one, { row: rows.get(no), given })]
  })
}

/** What is signed counts; the catalog adds the header where it speaks of the same object. */
const touchedPart = (
  desk: Desk,
  { facts, frames }: Touched,
  { row, given }: { readonly row: PackObject | undefined; readonly given: Given },
): Part => {
  const { key, size } = facts
  if (row === undefined || row.key !== key || row.size !== size) {
    const { store, opening } = desk
    const url = store.signGet({ key, expiresIn: opening.expiresIn })
    return { object: key, url, size, ranges: rangesOf(frames, { size, preamble: null }) }
  }
  const ranges = rangesOf(frames, { size, preamble: row.header.length })
  return objectPart(desk, row, { ranges, given })
}

const listsOf = async (
  desk: Desk,
  { packs, trees }: SelectedObjects,
  everything: boolean,
): Promise<Lists> => {
  if (everything) return partsOfAll(desk)
  const given = await givenKeys(desk, [...packs.keys()])
  return {
    parts: await touchedParts(desk, packs, given),
    trees: await touchedParts(desk, trees, new Map()),
  }
}

const sealedIdKey = async (desk: Desk, stop: AbortSignal): Promise<Uint8Array | null> => {
  const { parts, committed, opening, identities } = desk
  if (opening.request !== null) return opening.request.sealedIdKey
  if (identities.content === null) return null
  return opening.seal(await idKeyOf(parts, committed, stop), sealedFor.idKey(opening.id))
}

const mutable = ([a, b, c, d, e, f]: Locator): [number, number, number, number, number, string] => [
  a,
  b,
  c,
  d,
  e,
  f,
]

const answer = async (
  desk: Desk,
  [backup, selected, lists]: readonly [ReadBackup, SelectedObjects, Lists],
  stop: AbortSignal,
): Promise<Parts> => {
  const { parts, committed, opening, identities } = desk
  const idKey = await sealedIdKey(desk, stop)
  const [secret] = await parts.reading.secrets(committed.vault)
  const { record } = backup.committed
  const recordKey = sealKey(
    desk,
    { ...record, identity: identities.list },
    sealedFor.record(opening.id),
  )
  return {
    opening: opening.id,
    expires_at: new Date(parts.clock.now() + opening.expiresIn * SECOND).toISOString(),
    ...lists,
    record: storedPart(desk, record, recordKey),
    signers: committed.signers.map(toBase64url),
    ...(secret === undefined ? {} : { secret: storedPart(desk, secret, null) }),
    ...(idKey === null ? {} : { sealed_id_key: toBase64url(idKey) }),
    files: selected.files.map(({ path, size, content }) => ({
      id: fileId(path),
      path: showPath(path),
      size,
      content: content.map(mutable),
    })),
    files_complete: selected.complete,
    lost: selected.lost.map(showLost),
  }
}

export const handOutParts = async (
  parts: PartsParts,
  [caller, committed]: readonly [Caller, CommittedBackup],
  [input, stop]: readonly [DownloadInput, AbortSignal],
): Promise<Parts> => {
  const wish = wishOf(parseWanted(input.files ?? []))
  const opening = await openingOf(parts, [caller, committed], input)
  const backup = await openForBrowsing(parts, committed, stop)
  const desk: Desk = {
    parts,
    committed,
    opening,
    identities: await parts.reading.identities(committed.vault),
    store: await parts.stores.open(committed.storage),
  }
  const selected = await selectObjects(backup, wish, BOUNDS)
  const everything = wish.paths.length + wish.globs.length === 0 || wish.paths.includes('/')
  const lists = await listsOf(desk, selected, everything)
  const made = await answer(desk, [backup, selected, lists], stop)
  await parts.reading.used(committed.backup)
  return made
}
