/**
 * Object keys: the only place that builds or parses one. FORMAT.md, "Objects". Keys here are below the storage's
 * prefix; `withPrefix` and `belowPrefix` add it and take it away.
 */
import { fail } from '../errors.ts'
import { ID_PATTERN } from '../ids.ts'
import type { Ms } from '../units.ts'
import type { PackNo } from './locator.ts'

/** Classes of pack-like objects: file content; names, metadata and indexes. */
export type PackClass = 'pack' | 'tree'

/** What a key says. `random` is 32 hex digits; `time` is in ms, of whole minutes in a record's key. */
export type Key =
  | { readonly kind: 'hint'; readonly vault: string }
  | {
      readonly kind: 'signer' | 'key'
      readonly vault: string
      readonly no: number
      readonly random: string
    }
  | {
      readonly kind: PackClass
      readonly vault: string
      readonly no: PackNo
      readonly random: string
    }
  | {
      readonly kind: 'record'
      readonly vault: string
      readonly time: Ms
      readonly backup: string
    }
  | {
      readonly kind: 'control-plane'
      readonly epoch: number
      readonly time: Ms
      readonly random: string
    }
  | { readonly kind: 'download'; readonly random: string }

export const VAULTS = 'vaults/'
export const CONTROL_PLANE = 'control-plane/'
export const DOWNLOADS = 'downloads/'

const COUNTERS = 2 ** 32
const EPOCHS = 2 ** 21

const ID = new RegExp(ID_PATTERN)
const RANDOM = /^[0-9a-f]{32}$/
const PREFIX_PART = /^[A-Za-z0-9!_.*'()-]+$/

const whole = (value: number, limit: number): boolean =>
  Number.isSafeInteger(value) && value >= 0 && value < limit

/** The number of a pack: epoch (below 2^21) times 2^32 plus counter (1 to 2^32 - 1). */
export const packNo = (epoch: number, counter: number): PackNo => {
  if (!whole(epoch, EPOCHS) || !whole(counter, COUNTERS) || counter === 0) {
    throw new RangeError('a pack number is an epoch below 2^21 and a counter from 1 to 2^32 - 1')
  }
  return epoch * COUNTERS + counter
}

export const epochOf = (no: PackNo): number => Math.floor(no / COUNTERS)
export const counterOf = (no: PackNo): number => no % COUNTERS

/** `<epoch>.<counter>` in decimal. */
export const showPackNo = (no: PackNo): string => `${String(epochOf(no))}.${String(counterOf(no))}`

const must = (ok: boolean, problem: string): void => {
  if (!ok) throw new RangeError(`an object key needs ${problem}`)
}

/** `vaults/<vault>/`. Throws a RangeError for what is no UUIDv7, as all builders here do for what no key can hold. */
export const vaultPrefix = (vault: string): string => {
  must(ID.test(vault), 'a vault id')
  return `${VAULTS}${vault}/`
}

const chained = (folder: string, no: number, random: string): string => {
  must(whole(no, COUNTERS), 'a number in the chain')
  must(RANDOM.test(random), '32 hex digits')
  return `${folder}/${String(no)}-${random}`
}

export const hintKey = (vault: string): string => `${vaultPrefix(vault)}vault.json`

/** `no` 0 is the genesis. */
export const signerKey = (vault: string, no: number, random: string): string =>
  `${vaultPrefix(vault)}${chained('signers', no, random)}.json`

export const secretKey = (vault: string, no: number, random: string): string =>
  `${vaultPrefix(vault)}${chained('keys', no, random)}.age`

export const packKey = (vault: string, kind: PackClass, no: PackNo, random: string): string => {
  must(RANDOM.test(random), '32 hex digits')
  must(packNo(epochOf(no), counterOf(no)) === no, 'a pack number')
  return `${vaultPrefix(vault)}${kind}s/${random.slice(0, 2)}/${showPackNo(no)}-${random}.age`
}

/** ISO 8601 in UTC; only years that have four digits. */
const iso = (time: Ms): string => {
  must(
    Number.isSafeInteger(time) && time >= 0 && time < 253_402_300_800_000,
    'a time before the year 10000',
  )
  return new Date(time).toISOString()
}

/** `time` is cut to the minute. */
export const recordKey = (vault: string, time: Ms, backup: string): string => {
  must(ID.test(backup), 'a backup id')
  const text = iso(time)
  const day = text.slice(0, 10).replaceAll('-', '/')
  const minute = text.slice(11, 16).replace(':', '-')
  return `${vaultPrefix(vault)}backups/${day}/${minute}-${backup}.age`
}

export const controlPlaneKey = (epoch: number, time: Ms, random: string): string => {
  must(whole(epoch, EPOCHS), 'an epoch')
  must(RANDOM.test(random), '32 hex digits')
  return `${CONTROL_PLANE}${String(epoch)}-${iso(time).replace(/[-:.]/g, '')}-${random}.age`
}

export const downloadKey = (random: string): string => {
  must(RANDOM.test(random), '32 hex digits')
  return `${DOWNLOADS}${random}`
}

/** The key that says `key`: the inverse of `parseKey`. */
export const formatKey = (key: Key): string => {
  switch (key.kind) {
    case 'hint':
      return hintKey(key.vault)
    case 'signer':
      return signerKey(key.vault, key.no, key.random)
    case 'key':
      return secretKey(key.vault, key.no, key.random)
    case 'pack':
    case 'tree':
      return packKey(key.vault, key.kind, key.no, key.random)
    case 'record':
      return recordKey(key.vault, key.time, key.backup)
    case 'control-plane':
      return controlPlaneKey(key.epoch, key.time, key.random)
    case 'download':
      return downloadKey(key.random)
  }
}

type Groups = Readonly<Record<string, string>>
type Reader = readonly [RegExp, (groups: Groups) => Key]

const at = (groups: Groups, name: string): string => groups[name] ?? ''
const number = (groups: Groups, name: string): number => Number(at(groups, name))

const readNo = (groups: Groups): PackNo =>
  packNo(number(groups, 'epoch'), number(groups, 'counter'))

const VAULT = `^vaults/(?<vault>[^/]+)/`
const CHAINED = `(?<no>\\d{1,10})-(?<random>[0-9a-f]{32})`
const PACK = `[0-9a-f]{2}/(?<epoch>\\d{1,7})\\.(?<counter>\\d{1,10})-(?<random>[0-9a-f]{32})\\.age$`
const MINUTE = `(?<day>\\d{4}/\\d{2}/\\d{2})/(?<hour>\\d{2})-(?<minute>\\d{2})`
const STAMP = `(?<date>\\d{8})T(?<clock>\\d{6})(?<ms>\\d{3})Z`

const chainedReader =
  (kind: 'signer' | 'key') =>
  (g: Groups): Key => ({
    kind,
    vault: at(g, 'vault'),
    no: number(g, 'no'),
    random: at(g, 'random'),
  })

const packReader =
  (kind: PackClass) =>
  (g: Groups): Key => ({ kind, vault: at(g, 'vault'), no: readNo(g), random: at(g, 'random') })

const recordReader = (g: Groups): Key => ({
  kind: 'record',
  vault: at(g, 'vault'),
  time: Date.parse(`${at(g, 'day').replaceAll('/', '-')}T${at(g, 'hour')}:${at(g, 'minute')}:00Z`),
  backup: at(g, 'backup'),
})

const controlPlaneReader = (g: Groups): Key => {
  const date = at(g, 'date').replace(/^(....)(..)/, '$1-$2-')
  const clock = at(g, 'clock').replace(/^(..)(..)/, '$1:$2:')
  const time = Date.parse(`${date}T${clock}.${at(g, 'ms')}Z`)
  return { kind: 'control-plane', epoch: number(g, 'epoch'), time, random: at(g, 'random') }
}

const READERS: readonly Reader[] = [
  [new RegExp(`${VAULT}vault\\.json$`), (g) => ({ kind: 'hint', vault: at(g, 'vault') })],
  [new RegExp(`${VAULT}signers/${CHAINED}\\.json$`), chainedReader('signer')],
  [new RegExp(`${VAULT}keys/${CHAINED}\\.age$`), chainedReader('key')],
  [new RegExp(`${VAULT}packs/${PACK}`), packReader('pack')],
  [new RegExp(`${VAULT}trees/${PACK}`), packReader('tree')],
  [new RegExp(`${VAULT}backups/${MINUTE}-(?<backup>[^/]+)\\.age$`), recordReader],
  [
    new RegExp(`^control-plane/(?<epoch>\\d{1,7})-${STAMP}-(?<random>[0-9a-f]{32})\\.age$`),
    controlPlaneReader,
  ],
  [/^downloads\/(?<random>[0-9a-f]{32})$/, (g) => ({ kind: 'download', random: at(g, 'random') })],
]

/** What a key (below the prefix) says; `null` for one that this file would not have built. Never throws. */
export const parseKey = (key: string): Key | null => {
  for (const [pattern, read] of READERS) {
    const groups = pattern.exec(key)?.groups
    if (groups !== undefined) return canonical(key, () => read(groups))
  }
  return null
}

// Leading zeros, impossible dates, a folder that is not the random part's: all of it shows on building the key again.
const canonical = (text: string, read: () => Key): Key | null => {
  try {
    const key = read()
    return formatKey(key) === text ? key : null
  } catch {
    return null
  }
}

/**
 * Checks a storage's prefix, `''` or parts between slashes (letters, digits and `!_.*'()-`, at most 512 bytes),
 * without a slash at either end. `VALIDATION_FAILED` otherwise: stores and file systems must not read it differently.
 */
export const parsePrefix = (text: string): string => {
  const parts = text === '' ? [] : text.split('/')
  const good = parts.every((part) => PREFIX_PART.test(part) && part !== '.' && part !== '..')
  if (!good || text.length > 512) {
    throw fail('VALIDATION_FAILED', { field: 'prefix', problem: 'is not a path of plain names' })
  }
  return text
}

/** The full key in the bucket of one below `prefix` (as `parsePrefix` gave it). */
export const withPrefix = (prefix: string, key: string): string =>
  prefix === '' ? key : `${prefix}/${key}`

/** The part of a bucket's key below `prefix`; `null` for one that does not lie there. */
export const belowPrefix = (prefix: string, key: string): string | null => {
  if (prefix === '') return key
  return key.startsWith(`${prefix}/`) ? key.slice(prefix.length + 1) : null
}
