/** What somebody wants of a backup, from the texts of a request: file ids, absolute paths, globs. Pure. */
import { fileId, parseFile, parseFileId, showPath } from '#shared/api/file-ids.ts'
import { MOST_SHOWN, type WantedFile } from '#shared/api/restores.ts'
import { fail, Failure } from '#shared/errors.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { parseGlob } from '#shared/read/glob.ts'
import type { Wish } from '#shared/read/selection.ts'

/** A path, with everything below it, or a glob (shared/read/glob.ts). */
export type Wanted = { readonly raw: Bytes; readonly glob: boolean }

/** One message of 1 MiB carries a page of so many wishes, and of so many bytes. */
const PAGE_WISHES = 1000
const PAGE_BYTES = 256 * 1024

const isGlob = (text: string): boolean => /[*?[]/.test(text) && parseFileId(text) === null

const parseGlobText = (text: string, field: string): Bytes => {
  const raw = Buffer.from(text, 'utf8').toString('latin1')
  try {
    return parseGlob(raw).pattern
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw fail('VALIDATION_FAILED', { field, problem: 'is not a glob' }, { cause: error })
  }
}

/** The same wish twice is one. `VALIDATION_FAILED` naming the place of the first text that is none of the three. */
export const parseWanted = (texts: readonly string[]): readonly Wanted[] => {
  const all = new Map<string, Wanted>()
  for (const [place, text] of texts.entries()) {
    const field = `files.${place}`
    const glob = isGlob(text)
    const raw = glob ? parseGlobText(text, field) : parseFile(text, field)
    all.set(`${glob ? 'g' : 'p'}${raw}`, { raw, glob })
  }
  return [...all.values()]
}

/** For shared/read/selection.ts. */
export const wishOf = (wanted: readonly Wanted[]): Wish => ({
  paths: wanted.filter(({ glob }) => !glob).map(({ raw }) => raw),
  globs: wanted.filter(({ glob }) => glob).map(({ raw }) => parseGlob(raw)),
})

export const pagesOf = (wanted: readonly Wanted[]): readonly (readonly Wanted[])[] => {
  const pages: Wanted[][] = []
  let bytes = 0
  for (const one of wanted) {
    const page = pages.at(-1)
    bytes += one.raw.length
    if (page === undefined || page.length === PAGE_WISHES || bytes > PAGE_BYTES) {
      pages.push([one])
      bytes = one.raw.length
    } else page.push(one)
  }
  return pages
}

/** The first of them, as they are shown. */
export const showWanted = (wanted: readonly Wanted[]): WantedFile[] =>
  wanted
    .slice(0, MOST_SHOWN)
    .map(({ raw, glob }) => ({ id: glob ? null : fileId(raw), path: showPath(raw), glob }))
