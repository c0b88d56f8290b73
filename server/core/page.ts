/** One page of a list: what was asked for, parsed and bounded (API.md, "Conventions"). Pure. */
import type { Paging } from '#shared/api/shapes.ts'
import { fail } from '#shared/errors.ts'

export type Sort = { readonly field: string; readonly descending: boolean }

/** Where the page before ended: the sorted value as the database prints it, and the id that breaks ties. */
export type Cursor = { readonly value: string | null; readonly id: string }

export type PageRequest = {
  readonly limit: number
  readonly offset: number
  readonly sort: Sort
  readonly after: Cursor | null
}

export type Page<T> = {
  readonly items: readonly T[]
  readonly total: number
  readonly isLowerBound: boolean
  /** `null` on the last page. */
  readonly next: Cursor | null
  /** What all of them come to, where a list says so; a lower bound where `total` is one. */
  readonly totalBytes?: number
}

/** Totals are exact up to here. */
export const MOST_COUNTED = 10_000

const DEFAULT_LIMIT = 50

const spell = (sort: Sort): string => `${sort.descending ? '-' : ''}${sort.field}`

const wantedSort = (query: Partial<Paging>): Sort => {
  if (query.sort !== undefined)
    return query.sort.startsWith('-')
      ? { field: query.sort.slice(1), descending: true }
      : { field: query.sort, descending: false }
  return { field: query.sort_by ?? 'created_at', descending: query.sort_order !== 'asc' }
}

const badCursor = (): Error =>
  fail('VALIDATION_FAILED', {
    field: 'cursor',
    problem: 'is not the next_cursor of this list in this order',
  })

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value)

const readJson = (text: string): unknown => {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    throw badCursor()
  }
}

export const showCursor = (sort: Sort, cursor: Cursor): string =>
  Buffer.from(JSON.stringify([spell(sort), cursor.value, cursor.id]), 'utf8').toString('base64url')

/** Throws `VALIDATION_FAILED` unless `text` was made by `showCursor` for the same order. */
export const parseCursor = (sort: Sort, text: string): Cursor => {
  const read = readJson(text)
  if (!isList(read) || read.length !== 3) throw badCursor()
  const [order, value, id] = read
  if (order !== spell(sort) || typeof id !== 'string' || !/^[0-9a-f-]{36}$/.test(id))
    throw badCursor()
  if (value !== null && typeof value !== 'string') throw badCursor()
  return { value, id }
}

/** Newest first when no order is asked. Which ones a list has is in the schema of its query (`listQuery`). */
export const pageRequest = (query: Partial<Paging>): PageRequest => {
  const sort = wantedSort(query)
  if (query.cursor !== undefined && query.offset !== undefined)
    throw fail('VALIDATION_FAILED', { field: 'cursor', problem: 'cannot be used with offset' })
  return {
    limit: query.limit ?? query.size ?? query.page_size ?? DEFAULT_LIMIT,
    offset: query.offset ?? 0,
    sort,
    after: query.cursor === undefined ? null : parseCursor(sort, query.cursor),
  }
}
