/** What one source leaves out, and how a walk asks. */
import type { Bytes } from '#shared/format/tree-order.ts'
import { compileExclude, type Exclude, NOTHING } from './exclude.ts'
import { isDirectory, isFile } from './stat.ts'

/** What a `files` source may say beside its paths; the names are those of the API. */
export type SourceOptions = {
  readonly exclude?: readonly string[]
  /** Leave out what lies beside a CACHEDIR.TAG, as https://bford.info/cachedir/ has it. */
  readonly exclude_caches?: boolean
  /** Leave out what lies beside a file of such a name. */
  readonly exclude_if_present?: readonly string[]
  /** Bytes; larger files are left out. */
  readonly max_file_size?: number
  /** Other file systems mounted below are noted as empty folders. */
  readonly one_file_system?: boolean
}

export type Rules = {
  readonly exclude: Exclude
  readonly largest: number
  readonly staysOnDevice: boolean
  /** Names of files beside which nothing else is backed up. */
  readonly markers: readonly Bytes[]
  readonly marksCaches: boolean
}

const CACHE_TAG = 'CACHEDIR.TAG'
/** What a file of this name must begin with to be one. */
export const CACHE_SIGNATURE = 'Signature: 8a477f597d28d172789f06886806bc55'

const bytesOf = (name: string): Bytes => Buffer.from(name, 'utf8').toString('latin1')

export const rulesOf = (options: SourceOptions, root: Bytes): Rules => ({
  exclude: compileExclude(options.exclude ?? [], root),
  largest: options.max_file_size ?? Infinity,
  staysOnDevice: options.one_file_system === true,
  markers: (options.exclude_if_present ?? []).map(bytesOf),
  marksCaches: options.exclude_caches === true,
})

type Asked = { readonly mode: number; readonly size: number; readonly isDir: boolean }

/** Whether every entry below the source belongs to it. */
export const coversAll = ({ exclude, largest }: Rules): boolean =>
  exclude === NOTHING && largest === Infinity

/** Whether an entry belongs to the source. */
export const covers = (rules: Rules, path: Bytes, { mode, size, isDir }: Asked): boolean =>
  !(isFile(mode) && size > rules.largest) && !rules.exclude(path, isDir || isDirectory(mode))

/** The first of the folder's names that marks it; what else is in it does not belong to the source then. */
export const markerIn = (
  { markers, marksCaches }: Rules,
  names: readonly Bytes[],
  isCacheTag: (name: Bytes) => boolean,
): Bytes | undefined => {
  const found = markers.find((name) => names.includes(name))
  if (found !== undefined || !marksCaches) return found
  return names.includes(CACHE_TAG) && isCacheTag(CACHE_TAG) ? CACHE_TAG : undefined
}
