/** Whatever takes a body refuses what is no body for it, by the name of the field; the cases are made from the document. */
import { beforeAll, describe, expect, test } from 'vitest'
import { goodBody } from '../../../support/api-bodies.ts'
import {
  closedAt,
  type Field,
  fieldsOf,
  isFreeText,
  nameOf,
  outOfRange,
  type Path,
  tooLongFor,
  withAt,
  wrongFor,
} from '../../../support/api-fields.ts'
import {
  bodySchema,
  exampleOf,
  hasBody,
  nameOfRoute,
  shortOf,
  type Walk,
  walkOver,
} from '../../../support/api-walk.ts'
import type { Route } from '../../../support/api-document.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { newId } from '../../../support/http-objects.ts'

const { api } = apiForFile()
let walk: Walk

beforeAll(() => {
  // Bodies are looked at before anybody looks for an object.
  const ids = { servers: newId(), storages: newId(), 'encryption-keys': newId() }
  walk = walkOver(api, { ...ids, 'locked backup': newId() })
})

const takers = (): readonly Route[] => walk.routes.filter(hasBody)

const partsOf = (route: Route) => ({
  schema: bodySchema(walk.document, route),
  example: exampleOf(route),
  good: goodBody(route.operation.operationId, walk.ids),
})

const fieldsIn = (route: Route): readonly Field[] => {
  const { schema, example } = partsOf(route)
  return fieldsOf(schema, example)
}

type Case = { readonly path: Path; readonly value: unknown }

/** Sends each case at its place in a good body; those that are not refused under the name of the field. */
const notRefused = async (cases: (route: Route) => readonly Case[]): Promise<readonly string[]> => {
  const wrong: string[] = []
  let tried = 0
  for (const route of takers()) {
    const { good, example } = partsOf(route)
    for (const { path, value } of cases(route)) {
      tried += 1
      const answer = await walk.ask(route, { body: withAt(good, example, path, value) })
      const short = shortOf(answer)
      const wanted = `400 VALIDATION_FAILED ${nameOf(path)}`
      if (short !== wanted && !short.startsWith(`${wanted}.`))
        wrong.push(`${nameOfRoute(route)} ${nameOf(path)}: ${short}`)
    }
  }
  expect(tried).toBeGreaterThan(20)
  return wrong
}

describe('a body', () => {
  test('with a field that nobody knows, at any depth', async () => {
    expect(
      await notRefused((route) => {
        const { schema, example } = partsOf(route)
        return closedAt(schema, example).map((path) => ({ path: [...path, 'surprise'], value: 1 }))
      }),
    ).toEqual([])
  })

  test('takes no other fields than its own', () => {
    const open = takers().filter((route) => {
      const { schema, example } = partsOf(route)
      return !closedAt(schema, example).some((path) => path.length === 0)
    })
    expect(open.map(nameOfRoute)).toEqual([])
  })

  test('without a field that must be there', async () => {
    expect(
      await notRefused((route) =>
        fieldsIn(route)
          .filter(({ required }) => required)
          .map(({ path }) => ({ path, value: undefined })),
      ),
    ).toEqual([])
  })

  test('with a value of another type', async () => {
    expect(
      await notRefused((route) =>
        fieldsIn(route).map(({ path, schema }) => ({ path, value: wrongFor(schema) })),
      ),
    ).toEqual([])
  })

  test('with a text, a list or a record that is too long', async () => {
    expect(
      await notRefused((route) => {
        const { example } = partsOf(route)
        return fieldsIn(route).flatMap(({ path, schema }) =>
          tooLongFor(schema, path.reduce<unknown>(itemOf, example)).map((value) => ({
            path,
            value,
          })),
        )
      }),
    ).toEqual([])
  })

  test('with a number that is out of range, or no whole one', async () => {
    expect(
      await notRefused((route) =>
        fieldsIn(route).flatMap(({ path, schema }) =>
          outOfRange(schema).map((value) => ({ path, value })),
        ),
      ),
    ).toEqual([])
  })

  test.each([
    ['a NUL character', 'a\u0000b'],
    ['half a surrogate pair', 'a\ud800b'],
  ])('with %s in a text', async (_what, text) => {
    expect(
      await notRefused((route) =>
        fieldsIn(route)
          .filter(({ schema }) => isFreeText(schema))
          .flatMap(({ path }) => [
            { path, value: text },
            { path, value: `/${text}` },
          ]),
      ),
    ).toEqual([])
  })
})

const itemOf = (value: unknown, name: string | number): unknown =>
  (value as Readonly<Record<string | number, unknown>> | undefined)?.[name]

/** What is answered to the same body by all that take one. */
const answers = async (body: unknown, headers?: Record<string, string>) => {
  const shorts = new Map<string, string[]>()
  for (const route of takers()) {
    const answer = await walk.ask(route, { body, ...(headers === undefined ? {} : { headers }) })
    const short = shortOf(answer)
    shorts.set(short, [...(shorts.get(short) ?? []), nameOfRoute(route)])
  }
  return Object.fromEntries(shorts)
}

describe('a body that is', () => {
  test.each([
    ['no JSON', '{"name":'],
    ['two of them', '{}{}'],
    ['a list', '[]'],
    ['a text', '"text"'],
    ['a number', '7'],
    ['nothing that JSON knows', 'undefined'],
    ['a pollution of prototypes', '{"__proto__": {"x": 1}}'],
  ])('%s', async (_what, text) => {
    expect(Object.keys(await answers(text))).toEqual(['400 VALIDATION_FAILED body'])
  })

  test('deeper than anything is', async () => {
    const [route] = takers()
    const body = `${'['.repeat(400_000)}${']'.repeat(400_000)}`
    expect(shortOf(await walk.ask(route!, { body }))).toBe('400 VALIDATION_FAILED body')
  })

  test('larger than allowed', async () => {
    const text = JSON.stringify({ name: 'n'.repeat(1024 * 1024) })
    expect(Object.keys(await answers(text))).toEqual(['413 PAYLOAD_TOO_LARGE'])
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'json'])(
    'of the media type %s',
    async (type) => {
      const shorts = await answers('{}', { 'content-type': type })
      expect(Object.keys(shorts)).toEqual(['415 UNSUPPORTED_MEDIA_TYPE content-type'])
    },
  )
})
