/** What a restore is to bring back, page by page, and where that will be written. */
import { fail } from '#shared/errors.ts'
import { parseBase64url } from '#shared/format/bytes.ts'
import type { RecordBody } from '#shared/format/record.ts'
import { type Bytes, isDir } from '#shared/format/tree-order.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import { type Glob, parseGlob } from '#shared/read/glob.ts'
import { cleanPath } from '#shared/read/select.ts'
import type { Wish } from '#shared/read/selection.ts'
import { MiB } from '#shared/units.ts'
import type { RestoreLink } from '../ports/restore-link.ts'

/** API.md, "Limits that are tested": 10,000 files in one request, whose body has 1 MiB. */
const MOST_PATHS = 10_000
/** Each is asked of every entry in its folder. */
const MOST_GLOBS = 1000
const MOST_BYTES = 4 * MiB

const tooMany = (limit: number, what: string): Error => fail('LIMIT_EXCEEDED', { limit, what })

const pathOf = (raw: Bytes): Bytes => {
  const path = cleanPath(raw)
  if (!isDir(path)) throw fail('PROTOCOL_VIOLATION', { problem: 'a path of the selection is none' })
  return path
}

/** No pages: everything. */
export const readWish = async (
  link: RestoreLink,
  { selection_pages: pages }: Pick<RestoreStart, 'selection_pages'>,
  stop: AbortSignal,
): Promise<Wish> => {
  const paths: Bytes[] = []
  const globs: Glob[] = []
  let bytes = 0
  for (let page = 0; page < pages; page += 1) {
    const { wanted } = await link.request('selection.request', { page }, stop)
    // An empty page would be everything, or go on for ever.
    if (wanted.length === 0) throw fail('PROTOCOL_VIOLATION', { problem: 'a page is empty' })
    for (const { raw: text, glob } of wanted) {
      const raw = parseBase64url(text)
      if (raw === null) throw fail('PROTOCOL_VIOLATION', { problem: 'a path is not base64url' })
      bytes += raw.length
      const name = Buffer.from(raw).toString('latin1')
      if (glob) globs.push(parseGlob(name))
      else paths.push(pathOf(name))
    }
    if (paths.length > MOST_PATHS) throw tooMany(MOST_PATHS, 'files of one restore')
    if (globs.length > MOST_GLOBS) throw tooMany(MOST_GLOBS, 'globs of one restore')
    if (bytes > MOST_BYTES) throw tooMany(MOST_BYTES, 'bytes of paths of one restore')
  }
  return { paths, globs }
}

/** What speaks against this folder, whatever the local policy says. */
export const targetProblem = (target: string): Error | null => {
  const path = cleanPath(Buffer.from(target, 'utf8').toString('latin1'))
  if (target === '' || isDir(path)) return null
  return fail('VALIDATION_FAILED', {
    field: 'target',
    problem: 'is not an absolute path without "." and ".."',
  })
}

const isNothing = ({ paths, globs }: Wish): boolean => paths.length + globs.length === 0

/**
 * The sources of the backup, for everything where it was: what lies above them was never asked for, and must stay as it
 * is. None where a source is something else than folders and files.
 */
const sourcesOf = ({ sources }: RecordBody): readonly Bytes[] => {
  const paths = sources
    .flatMap(({ paths: texts = [''] }) => texts)
    .map((text) => cleanPath(Buffer.from(text, 'utf8').toString('latin1')))
  return paths.every(isDir) ? paths : []
}

export type Aim = {
  readonly wish: Wish
  /** Whether somebody asked for each of them, so that one that is not there counts as failed. */
  readonly asked: boolean
  /** The folders and files that may be written, as text: what the local policy is asked about. */
  readonly roots: readonly string[]
}

const textOf = (path: Bytes): string => Buffer.from(path, 'latin1').toString('utf8')

/** `target`: empty where everything goes where it was. */
export const aimOf = (wish: Wish, target: string, body: RecordBody): Aim => {
  if (target !== '') return { wish, asked: true, roots: [target] }
  const implied = isNothing(wish)
  const real = implied ? { paths: sourcesOf(body), globs: [] } : wish
  const tops = isNothing(real) ? ['/'] : [...real.paths, ...real.globs.map(({ top }) => top)]
  return { wish: real, asked: !implied, roots: [...new Set(tops.map(textOf))] }
}
