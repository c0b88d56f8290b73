import { expect, test } from 'vitest'
import type { Api } from '#server/entry/cli/api-client.ts'
import { patient } from '#server/entry/cli/patient.ts'
import { Type } from '#shared/schema.ts'
import { fail } from '#shared/errors.ts'

const never = new AbortController().signal
const unused = async (): Promise<never> => Promise.reject(new Error('not asked for'))

/** Fails with these one after the other, then answers. */
const failing = (errors: Error[]): Api & { asked: number } => {
  const api = {
    url: 'http://here',
    asked: 0,
    get: async (): Promise<never> => {
      api.asked += 1
      const error = errors.shift()
      if (error !== undefined) return Promise.reject(error)
      return Promise.resolve('here' as never)
    },
    post: unused,
    patch: unused,
    remove: unused,
    answer: unused,
  }
  return api
}

const gone = (): Error => fail('DATABASE_UNAVAILABLE', { problem: 'it is away' })
const get = async (api: Api, longest: number): Promise<unknown> =>
  patient(api, { pause: 0, longest }).get('/v1/me', Type.String(), never)

test('a look waits until the database, or the control plane, is back', async () => {
  const away = fail('CONTROL_PLANE_UNREACHABLE', { url: 'http://here', problem: 'refused' })
  const api = failing([gone(), away, gone()])
  expect(await get(api, 60_000)).toBe('here')
  expect(api.asked).toBe(4)
})

test('what does not pass, or takes too long, is said', async () => {
  for (const error of [fail('UNAUTHENTICATED'), fail('INTERNAL')])
    await expect(get(failing([error]), 60_000)).rejects.toBe(error)
  await expect(get(failing([gone(), gone()]), -1)).rejects.toMatchObject({
    code: 'DATABASE_UNAVAILABLE',
  })
})
