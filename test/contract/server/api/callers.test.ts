/** Who may ask what, and what is there for whom: every operation of the document with every kind of caller. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SCOPES, type Scope } from '#shared/api/tokens.ts'
import { makeToken } from '#server/io/secrets.ts'
import { goodBody } from '../../../support/api-bodies.ts'
import type { Route } from '../../../support/api-document.ts'
import { fieldsOf, isId, nameOf, withAt } from '../../../support/api-fields.ts'
import {
  bodySchema,
  exampleOf,
  hasBody,
  hasPlace,
  kindOf,
  nameOfRoute,
  shortOf,
  type Walk,
} from '../../../support/api-walk.ts'
import { errorOf } from '../../../support/answers.ts'
import { addToken, newId } from '../../../support/http-objects.ts'
import { type PopulatedWorld, populatedWorld } from '../../../support/populated-world.ts'

let world: PopulatedWorld
let walk: Walk

beforeAll(async () => {
  world = await populatedWorld()
  walk = world.walk
})
afterAll(async () => world.close())

/** Those that do not answer `wanted` to whoever asks as `how` says. */
const others = async (
  routes: readonly Route[],
  wanted: string,
  ask: (route: Route) => ReturnType<Walk['ask']>,
): Promise<readonly string[]> => {
  const wrong: string[] = []
  for (const route of routes) {
    const short = shortOf(await ask(route))
    if (short !== wanted) wrong.push(`${nameOfRoute(route)}: ${short}`)
  }
  expect(routes.length).toBeGreaterThan(5)
  return wrong
}

/** Not those that ask for a scope: one that has lost its own is to be seen. */
const guarded = (): readonly Route[] => walk.routes.filter(({ path }) => path.startsWith('/v1/'))
const placed = (): readonly Route[] => guarded().filter(hasPlace)

describe('a caller', () => {
  test('without a token, or with one that is none, is 401 everywhere', async () => {
    const expired = await addToken(world, { expires: new Date(Date.now() - 1000) })
    for (const token of [null, 'hf_short', makeToken(randomBytes).token, expired])
      expect(
        await others(guarded(), '401 UNAUTHENTICATED', async (route) => walk.ask(route, { token })),
      ).toEqual([])
  })

  test('with all scopes but those that would do is 403 everywhere, and is told which', async () => {
    const told: string[] = []
    const ask = async (route: Route): ReturnType<Walk['ask']> => {
      const scopes = SCOPES.filter((scope) => !route.scopes.includes(scope))
      const token = await addToken(world, { scopes: [...scopes] })
      const answer = await walk.ask(route, { token })
      if (answer.status !== 403) return answer
      if (errorOf(answer).details['scope'] !== route.scopes[0]) told.push(nameOfRoute(route))
      return answer
    }
    expect(await others(guarded(), '403 PERMISSION_DENIED', ask)).toEqual([])
    expect(told).toEqual([])
  })

  test('with nothing but those scopes is let in', async () => {
    const refused: string[] = []
    for (const route of guarded()) {
      const token = await addToken(world, { scopes: [...route.scopes] as Scope[] })
      const short = shortOf(await walk.ask(route, { token, ids: nowhere(route) }))
      if (/^(401|403)/.test(short)) refused.push(`${nameOfRoute(route)}: ${short}`)
    }
    expect(refused).toEqual([])
  })
})

/** An id that nothing has. */
const nowhere = (route: Route) => ({ [kindOf(route)]: newId() })

describe('an object', () => {
  test('that is not there is 404 for everything that could be done with it', async () => {
    const ask = async (route: Route) => walk.ask(route, { ids: nowhere(route) })
    expect(await others(placed(), '404 RESOURCE_NOT_FOUND', ask)).toEqual([])
  })

  test('of another organization is 404 for everything that could be done with it', async () => {
    expect(placed().filter((route) => walk.ids[kindOf(route)] === undefined)).toEqual([])
    const token = world.foreignToken
    expect(
      await others(placed(), '404 RESOURCE_NOT_FOUND', async (route) => walk.ask(route, { token })),
    ).toEqual([])
  })

  test('that a body names and that is not there, or of another organization, is 404', async () => {
    const wrong: string[] = []
    let tried = 0
    for (const route of guarded().filter(hasBody)) {
      // With a managed key nothing has to be opened: a verification refuses the request by name, whatever it is.
      if (route.operation.operationId === 'verifyBackup') continue
      const good = goodBody(route.operation.operationId, walk.ids)
      const example = exampleOf(route)
      const fields = fieldsOf(bodySchema(walk.document, route), example)
      for (const { path } of fields.filter(({ schema }) => isId(schema)))
        for (const id of [newId(), world.foreign[String(path.at(-1))] ?? newId()]) {
          tried += 1
          const answer = await walk.ask(route, { body: withAt(good, example, path, id) })
          if (shortOf(answer) !== '404 RESOURCE_NOT_FOUND')
            wrong.push(`${nameOfRoute(route)} ${nameOf(path)}: ${shortOf(answer)}`)
        }
    }
    expect(wrong).toEqual([])
    expect(tried).toBeGreaterThan(15)
  })

  test('of another organization is in no list, and changes no count', async () => {
    const lists = guarded().filter((route) => route.method === 'GET' && !hasPlace(route))
    const seen: string[] = []
    for (const route of lists) {
      const answer = await walk.ask(route, { token: world.strangerToken })
      const text = JSON.stringify(answer.body)
      for (const id of Object.values(walk.ids))
        if (text.includes(id)) seen.push(`${nameOfRoute(route)}: ${id}`)
    }
    expect(seen).toEqual([])
    expect(lists.length).toBeGreaterThan(8)
  })
})
