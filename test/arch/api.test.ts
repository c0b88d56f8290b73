import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Validator } from '@seriousme/openapi-schema-validator'
import { beforeAll, describe, expect, test } from 'vitest'
import { CATALOGUE, isErrorCode } from '#shared/errors.ts'
import { parser, type TSchema } from '#shared/schema.ts'
import {
  bareDocument,
  type Document,
  type Operation,
  resolved,
  type Route,
  routesIn,
} from '../support/api-document.ts'

let document: Document
let routes: readonly Route[]

beforeAll(async () => {
  document = await bareDocument()
  routes = routesIn(document)
})

const nameOf = ({ method, path }: Route): string => `${method} ${path}`

/** Those for which `holds` is false, by name. */
const failing = (holds: (operation: Operation, route: Route) => boolean): readonly string[] =>
  routes.filter((route) => !holds(route.operation, route)).map(nameOf)

describe('the routes', () => {
  test('are those of routes.txt, with their scopes: a change of the API is a change of that file', () => {
    const file = fileURLToPath(new URL('routes.txt', import.meta.url))
    const lines = routes.map(
      ({ method, path, scopes }) =>
        `${method.padEnd(6)} ${path.padEnd(46)} ${scopes.length === 0 ? 'public' : scopes.join(' or ')}`,
    )
    expect(lines.toSorted()).toEqual(readFileSync(file, 'utf8').trimEnd().split('\n').toSorted())
  })

  test('say in one line what they do, and in which group they are', () => {
    const tags = document.tags.map(({ name }) => name)
    expect(failing(({ summary }) => /^[A-Z]\S.*[^.]$/.test(summary ?? ''))).toEqual([])
    expect(failing((one) => one.tags.length === 1 && tags.includes(one.tags[0]!))).toEqual([])
  })

  test('have names of their own', () => {
    const names = routes.map(({ operation }) => operation.operationId)
    expect(names.filter((name) => !/^[a-z][A-Za-z]+$/.test(name))).toEqual([])
    expect(new Set(names).size).toBe(names.length)
  })
})

describe('the OpenAPI document', () => {
  test('is valid OpenAPI 3.1', async () => {
    const result = await new Validator().validate(structuredClone(document))
    expect(result.errors).toBeUndefined()
    expect(result.valid).toBe(true)
    expect(document.openapi).toBe('3.1.0')
  })

  test('names every error that a route can answer, with an example of it', () => {
    expect(
      failing(({ 'x-problem-codes': byStatus = {}, responses }) =>
        Object.entries(byStatus).every(([status, codes]) => {
          const media = responses[status]?.content?.['application/json']
          return codes.every(
            (code) =>
              isErrorCode(code) &&
              String(CATALOGUE[code].status) === status &&
              media?.examples?.[code] !== undefined,
          )
        }),
      ),
    ).toEqual([])
    const wanted = ['400', '401', '403', '429', '500', '503']
    expect(
      failing(
        ({ responses }, { scopes }) =>
          scopes.length === 0 || wanted.every((status) => status in responses),
      ),
    ).toEqual([])
    expect(failing(({ responses }, { path }) => !path.includes('{') || '404' in responses)).toEqual(
      [],
    )
  })

  test('has an example of every body and answer, and each of them fits its schema', () => {
    const wrong: string[] = []
    const check = (where: string, schema: unknown, example: unknown): void => {
      const checked = parser(resolved(document, schema) as TSchema)(example)
      if (!('ok' in checked)) wrong.push(`${where}: ${checked.field} ${checked.problem}`)
    }
    for (const route of routes) {
      const { requestBody, responses } = route.operation
      const media = [
        ...Object.entries(requestBody?.content ?? {}),
        ...Object.values(responses).flatMap(({ content }) => Object.entries(content ?? {})),
      ]
      for (const [type, { schema, example, examples }] of media) {
        if (type !== 'application/json') continue
        const all = examples === undefined ? [example] : Object.values(examples)
        for (const one of all)
          check(
            nameOf(route),
            schema,
            examples === undefined ? one : (one as { value: unknown }).value,
          )
      }
      for (const parameter of route.operation.parameters ?? [])
        if ('example' in parameter)
          check(`${nameOf(route)} ${parameter.name}`, parameter.schema, parameter.example)
    }
    expect(wrong).toEqual([])
  })

  test('shows what is shared once', () => {
    const names = Object.keys(document.components.schemas)
    expect(names).toEqual(
      expect.arrayContaining(['Backup', 'Job', 'Problem', 'Progress', 'Reason']),
    )
    const text = JSON.stringify(document.paths)
    for (const name of ['Backup', 'Job', 'Problem', 'Server', 'Restore'])
      expect(text).toContain(`"#/components/schemas/${name}"`)
  })
})
