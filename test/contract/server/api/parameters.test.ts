/** Ids, queries and headers that are none are refused by their name; those that are documented work. Cases are made from the document. */
import { beforeAll, describe, expect, test } from 'vitest'
import type { Parameter, Route } from '../../../support/api-document.ts'
import { isFreeText, isId, outOfRange, tooLongFor, typesOf } from '../../../support/api-fields.ts'
import {
  hasPlace,
  hasToken,
  nameOfRoute,
  shortOf,
  type Walk,
  walkOver,
} from '../../../support/api-walk.ts'
import { metaOf, rowsOf } from '../../../support/answers.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { addJob, addProject, added, newId } from '../../../support/http-objects.ts'

const { api } = apiForFile()
let walk: Walk

beforeAll(async () => {
  const projects = await addProject(api, 'one')
  const { job, server } = await addJob(api, 'one', { project_id: projects })
  await addJob(api, 'two')
  for (const name of ['token', 'other token'])
    await added(api, '/v1/tokens', { name, scopes: ['read'] })
  await added(api, '/v1/encryption-keys', { name: 'other key', type: 'managed' })
  await addProject(api, 'two')
  const backups = await api.call('POST', `/v1/jobs/${job}/backups`)
  const started = backups.body['data'] as { readonly id: string }
  const [storage] = rowsOf(await api.call('GET', '/v1/storages'))
  const storages = String(storage?.['id'])
  const ids = { storages, 'encryption-keys': newId(), 'locked backup': newId() }
  walk = walkOver(api, { ...ids, projects, jobs: job, servers: server, backups: started.id })
})

const parametersOf = ({ operation }: Route, place: Parameter['in']): readonly Parameter[] =>
  (operation.parameters ?? []).filter((one) => one.in === place)

/** The routes with such parameters, each with each of them. */
const each = (place: Parameter['in']): readonly (readonly [Route, Parameter])[] =>
  walk.routes
    .filter(hasToken)
    .flatMap((route) => parametersOf(route, place).map((one) => [route, one] as const))

const shortFor = async (route: Route, query: string): Promise<string> =>
  shortOf(await walk.ask(route, { query }))

describe('an id', () => {
  const BAD = ['nope', '0', '%00', 'x'.repeat(300), `${newId()}0`, newId().replaceAll('-', '')]

  test('that is none is refused by its name, whatever is done with it', async () => {
    const wrong: string[] = []
    for (const [route, { name }] of each('path'))
      for (const bad of BAD) {
        const kind = route.path.split('/')[2] ?? ''
        const ids = { [name === 'id' ? kind : name]: bad }
        const short = shortOf(await walk.ask(route, { ids }))
        if (short !== `400 VALIDATION_FAILED ${name}`)
          wrong.push(`${nameOfRoute(route)} ${bad.slice(0, 40)}: ${short}`)
      }
    expect(wrong).toEqual([])
  })

  test('is called so in the document', () => {
    const others = each('path').filter(([, { name, schema }]) => name === 'id' && !isId(schema))
    expect(others.map(([route]) => nameOfRoute(route))).toEqual([])
    expect(each('path').length).toBeGreaterThan(walk.routes.filter(hasPlace).length - 1)
  })
})

/** Texts that no parameter with this schema takes, encoded. */
const badTexts = ({ schema }: Parameter): readonly string[] => {
  const types = typesOf(schema)
  const { pattern, enum: values } = schema
  const isPatterned = typeof pattern === 'string' && !new RegExp(pattern, 'u').test('nonsense')
  return [
    ...(values !== undefined || isPatterned ? ['nonsense'] : []),
    ...(types.includes('integer') || types.includes('boolean') ? ['nonsense', '', '1e1'] : []),
    ...(isId(schema) ? ['', 'nope'] : []),
    ...outOfRange(schema).map(String),
    ...tooLongFor(schema, undefined).map((text) => encodeURIComponent(String(text))),
    ...(isFreeText(schema) ? ['a%00b', '%00'] : []),
  ]
}

describe('a query', () => {
  test('with a parameter that nobody knows is refused by its name', async () => {
    const wrong: string[] = []
    for (const route of walk.routes.filter(hasToken)) {
      const short = await shortFor(route, 'surprise=1')
      if (short !== '400 VALIDATION_FAILED surprise') wrong.push(`${nameOfRoute(route)}: ${short}`)
    }
    expect(wrong).toEqual([])
  })

  test('with a value of another kind, too long, out of range or given twice, by the name of the parameter', async () => {
    const wrong: string[] = []
    for (const [route, parameter] of each('query')) {
      const { name } = parameter
      const bad = badTexts(parameter).map((text) => `${name}=${text}`)
      for (const query of [...bad, `${name}=1&${name}=2`]) {
        const short = await shortFor(route, query)
        if (short !== `400 VALIDATION_FAILED ${name}`)
          wrong.push(`${nameOfRoute(route)}?${query.slice(0, 60)}: ${short}`)
      }
    }
    expect(wrong).toEqual([])
  })

  test('says in the document what each parameter is for, and what it takes', () => {
    const silent = each('query').filter(
      ([, { schema, description }]) =>
        (description ?? '') === '' && schema['enum'] === undefined && !isId(schema),
    )
    expect(silent.map(([route, { name }]) => `${nameOfRoute(route)} ${name}`)).toEqual([])
  })
})

/** Lists by page: those with a place in an order. */
const lists = (): readonly Route[] =>
  walk.routes.filter((route) => parametersOf(route, 'query').some(({ name }) => name === 'sort'))

const ordersOf = (route: Route): readonly string[] => {
  const sort = parametersOf(route, 'query').find(({ name }) => name === 'sort')
  return (sort?.schema['enum'] ?? []) as readonly string[]
}

/** A log of a restore that is not there has no pages. */
const isThere = (route: Route): boolean =>
  !hasPlace(route) || walk.ids[route.path.split('/')[2] ?? ''] !== undefined

describe('a list', () => {
  test('is sorted by whatever its document says, both ways and from page to page', async () => {
    const wrong: string[] = []
    let pages = 0
    for (const route of lists().filter(isThere))
      for (const order of ordersOf(route)) {
        const first = await walk.ask(route, { query: `sort=${order}&limit=1` })
        const cursor = first.status === 200 ? metaOf(first)['next_cursor'] : null
        if (first.status !== 200) wrong.push(`${nameOfRoute(route)} ${order}: ${shortOf(first)}`)
        if (typeof cursor !== 'string') continue
        pages += 1
        const next = `sort=${order}&limit=1&cursor=${encodeURIComponent(cursor)}`
        const second = await walk.ask(route, { query: next })
        const isOther = JSON.stringify(rowsOf(second)) !== JSON.stringify(rowsOf(first))
        if (second.status !== 200 || !isOther)
          wrong.push(`${nameOfRoute(route)} ${next}: ${shortOf(second)}`)
      }
    expect(wrong).toEqual([])
    expect(pages).toBeGreaterThan(20)
  })

  test('says its orders in `sort` and `sort_by` alike', async () => {
    for (const route of lists()) {
      const orders = ordersOf(route)
      const by = parametersOf(route, 'query').find(({ name }) => name === 'sort_by')
      const fields = orders.filter((order) => !order.startsWith('-'))
      expect([nameOfRoute(route), by?.schema['enum']]).toEqual([nameOfRoute(route), fields])
      expect(fields.length).toBeGreaterThan(0)
      for (const field of fields) expect(orders).toContain(`-${field}`)
      if (!isThere(route)) continue
      for (const field of fields)
        expect(await shortFor(route, `sort_by=${field}&sort_order=asc`)).toBe('200')
    }
  })

  test('takes every filter that it documents', async () => {
    const wrong: string[] = []
    for (const [route, { name, schema }] of each('query').filter(([one]) => isThere(one))) {
      const values = Array.isArray(schema['enum'])
        ? schema['enum'].map(String)
        : isId(schema)
          ? [newId()]
          : []
      for (const value of values) {
        const short = await shortFor(route, `${name}=${value}`)
        if (short !== '200') wrong.push(`${nameOfRoute(route)}?${name}=${value}: ${short}`)
      }
    }
    expect(wrong).toEqual([])
  })
})

describe('a header', () => {
  test('that a stream does not know as a place in it is refused by its name', async () => {
    const streams = each('header').filter(([, { name }]) => name === 'last-event-id')
    expect(streams.length).toBeGreaterThan(2)
    for (const [route, { name }] of streams.filter(([one]) => isThere(one)))
      for (const text of ['nonsense', '1.2', '-1.0.0', '1'.repeat(61)]) {
        const answer = await walk.ask(route, { headers: { [name]: text } })
        expect(shortOf(answer)).toBe(`400 VALIDATION_FAILED ${name}`)
      }
  })

  test('that is no key of a request is refused by its name, by everything that takes one', async () => {
    const keyed = each('header').filter(([, { name }]) => name === 'idempotency-key')
    const posts = walk.routes.filter((route) => route.method === 'POST' && hasToken(route))
    expect(keyed.map(([route]) => route)).toEqual(posts)
    for (const [route, { name }] of keyed) {
      const answer = await walk.ask(route, { headers: { [name]: 'two words' } })
      expect(shortOf(answer)).toBe('400 VALIDATION_FAILED Idempotency-Key')
    }
  })
})
