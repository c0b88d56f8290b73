/** Uses a grant again in every way that it must not be good for, and looks at the object after each. */
import type { DeleteStore, ReadStore, WriteStore } from '#shared/store.ts'
import {
  addedHeaders,
  addedQueries,
  type Misuse,
  otherBytes,
  otherKeys,
  otherMethods,
  rightUse,
  type WireRequest,
} from './grant-misuse.ts'
import type { Seeded } from './seeded.ts'
import type { UsedGrant } from './used-grants.ts'
import type { WireAnswer } from './wire-request.ts'

export type ReplayPlace = {
  /** To the store itself, past any recorder. */
  send(request: WireRequest): Promise<WireAnswer>
  /** With the storage's own keys. */
  readonly store: ReadStore & WriteStore & DeleteStore
  readonly bucket: string
  /** Acts on x-amz- headers that nobody signed, as Ceph 16 does: then the bytes and their name must be right all the same. */
  readonly lax?: boolean
  /** Path of an object in the bucket. */
  pathOf(key: string): string
  readonly chance: Seeded
}

export type ReplayResult = {
  /** What was tried, by the status that answered it. */
  readonly tried: number
  readonly statuses: Readonly<Record<string, number>>
  readonly violations: readonly string[]
}

const stop = new AbortController().signal

type Look = { readonly there: Buffer | null }

const look = async ({ store }: ReplayPlace, key: string): Promise<Look> => {
  const found = await store.head(key, stop)
  if (found === null) return { there: null }
  if (found.size === 0) return { there: Buffer.alloc(0) }
  const bytes = await store.get(key, { start: 0 }, stop)
  return { there: bytes === null ? null : Buffer.from(bytes) }
}

const same = (a: Look, b: Look): boolean =>
  a.there === null || b.there === null ? a.there === b.there : a.there.equals(b.there)

/** 501: Ceph checks the hash of a body only where an object is put, and does nothing else with such a request. */
const isRefusal = ({ status }: WireAnswer): boolean =>
  (status >= 400 && status < 500) || status === 501

type Book = { tried: number; statuses: Record<string, number>; violations: string[] }

const note = (book: Book, response: WireAnswer): void => {
  book.tried += 1
  const name = `${response.status} ${response.code}`.trim()
  book.statuses[name] = (book.statuses[name] ?? 0) + 1
}

/** Refused, or in effect what the grant is for: the right bytes under the right name, and nobody else may read them. */
const mayAdd = async (
  place: ReplayPlace,
  misuses: readonly Misuse[],
  { use, book }: { readonly use: UsedGrant; readonly book: Book },
): Promise<void> => {
  const { key } = use.grant
  for (const { name, request } of misuses) {
    await place.store.remove([key], stop)
    const response = await place.send(request)
    note(book, response)
    const wanted = { there: isRefusal(response) ? null : use.body }
    // What the storage's own keys cannot read any more is not confirmed, and so never part of a backup.
    const after = await look(place, key).catch(() => wanted)
    if (!same(after, wanted)) book.violations.push(`${key}, ${name}: it is not as granted`)
    const anonymous = { method: 'GET', url: request.url, headers: {}, body: Buffer.alloc(0) }
    const { status } = await place.send(anonymous)
    if (status < 400) book.violations.push(`${key}, ${name}: everybody reads it`)
  }
  await place.store.remove([key], stop)
}

/** Each must be refused, and change nothing. */
const mustRefuse = async (
  place: ReplayPlace,
  misuses: readonly Misuse[],
  { key, book }: { readonly key: string; readonly book: Book },
): Promise<void> => {
  for (const { name, request } of misuses) {
    const before = await look(place, key)
    const response = await place.send(request)
    note(book, response)
    const after = await look(place, key)
    const state = before.there === null ? 'absent' : 'there'
    if (!isRefusal(response)) book.violations.push(`${key} (${state}), ${name}: ${response.status}`)
    if (same(before, after)) continue
    book.violations.push(`${key} (${state}), ${name}: it was changed`)
    if (before.there === null) await place.store.remove([key], stop)
  }
}

const headersOn = (use: UsedGrant, others: readonly UsedGrant[]): Misuse[] =>
  addedHeaders(use, new URL((others[0] ?? use).grant.url).pathname)

const everyMisuse = (
  place: ReplayPlace,
  use: UsedGrant,
  others: readonly UsedGrant[],
): Misuse[] => {
  const { pathname } = new URL(use.grant.url)
  const vault = use.grant.key.split('/')[1] ?? ''
  const elsewhere = vault.replace(/[0-9a-f]$/, (digit) => (digit === '0' ? '1' : '0'))
  const targets = [
    `${pathname}x`,
    pathname.slice(0, -1),
    pathname.replace(vault, elsewhere),
    pathname.replace(`/${place.bucket}/`, `/${place.bucket}2/`),
    place.pathOf('vaults/mine'),
    ...others.slice(0, 2).map(({ grant }) => new URL(grant.url).pathname),
  ]
  return [
    ...otherBytes(use, place.chance),
    ...otherKeys(
      use,
      targets.filter((target) => target !== pathname),
    ),
    ...(place.lax === true ? [] : headersOn(use, others)),
    ...addedQueries(use),
    ...otherMethods(use, place.bucket),
  ]
}

/**
 * With the object there, with the object gone, and at last rightly once more, which puts it back: so that what was
 * refused was not refused because the grant had ended.
 */
export const replayGrant = async (
  place: ReplayPlace,
  use: UsedGrant,
  others: readonly UsedGrant[],
): Promise<ReplayResult> => {
  const book: Book = { tried: 0, statuses: {}, violations: [] }
  const { key } = use.grant
  const wrong = (text: string): void => void book.violations.push(`${key}: ${text}`)
  const wanted = { there: use.body }
  if (!same(await look(place, key), wanted)) wrong('is not what the agent put')
  const again = await place.send(rightUse(use))
  note(book, again)
  if (again.status !== 412 && again.status !== 200) wrong(`put again: ${again.status}`)
  if (!same(await look(place, key), wanted)) wrong('was changed by the same PUT')
  const rest = others.filter((other) => other !== use)
  const misuses = everyMisuse(place, use, rest)
  await mustRefuse(place, misuses, { key, book })
  await place.store.remove([key], stop)
  await mustRefuse(place, misuses, { key, book })
  if (place.lax === true) await mayAdd(place, headersOn(use, rest), { use, book })
  const back = await place.send(rightUse(use))
  note(book, back)
  if (back.status !== 200) wrong(`put rightly: ${back.status} ${back.code}`)
  if (!same(await look(place, key), wanted)) wrong('was not put back')
  return book
}

/** A grant whose time is over, or has not come: refused whether the object is there or not. */
export const replayAtWrongTime = async (
  place: ReplayPlace,
  use: UsedGrant,
  name: string,
): Promise<ReplayResult> => {
  const book: Book = { tried: 0, statuses: {}, violations: [] }
  const { key } = use.grant
  const misuse = [{ name, request: rightUse(use) }]
  await mustRefuse(place, misuse, { key, book })
  await place.store.remove([key], stop)
  await mustRefuse(place, misuse, { key, book })
  return book
}
