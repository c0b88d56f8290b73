import { expect, test } from 'vitest'
import { pageRequest, parseCursor, showCursor } from '#server/core/page.ts'

const ID = '01a1fc00-5afd-743e-9e16-3c067190de0b'

test('nothing asked is fifty, newest first', () => {
  expect(pageRequest({})).toEqual({
    limit: 50,
    offset: 0,
    sort: { field: 'created_at', descending: true },
    after: null,
  })
})

test('limit, size and page_size mean the same', () => {
  for (const name of ['limit', 'size', 'page_size'])
    expect(pageRequest({ [name]: 7 }).limit).toBe(7)
})

test('sort=-name is sort_by=name with sort_order=desc, which is its default', () => {
  const one = pageRequest({ sort: '-name' }).sort
  expect(pageRequest({ sort_by: 'name' }).sort).toEqual(one)
  expect(pageRequest({ sort_by: 'name', sort_order: 'desc' }).sort).toEqual(one)
  expect(pageRequest({ sort: 'name' }).sort).toEqual(
    pageRequest({ sort_by: 'name', sort_order: 'asc' }).sort,
  )
})

test('a cursor comes back as it was, for its own order only', () => {
  const sort = { field: 'name', descending: false }
  for (const value of ['é,"x"\n', '', null]) {
    const text = showCursor(sort, { value, id: ID })
    expect(text).toMatch(/^[A-Za-z0-9_-]+$/)
    expect(parseCursor(sort, text)).toEqual({ value, id: ID })
    expect(() => parseCursor({ ...sort, descending: true }, text)).toThrow('cursor')
  }
})

test('what is no cursor is refused, whatever it decodes to', () => {
  const made = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const sort = { field: 'name', descending: false }
  for (const text of [
    '',
    '!!',
    made(null),
    made({}),
    made([]),
    made(['name', 'x']),
    made(['name', 1, ID]),
    made(['name', 'x', "' or true --"]),
    made(['name', 'x', ID, 1]),
  ])
    expect(() => parseCursor(sort, text)).toThrow('cursor')
})

test('a cursor and an offset exclude each other', () => {
  expect(() => pageRequest({ cursor: 'x', offset: 1 })).toThrow('offset')
})
