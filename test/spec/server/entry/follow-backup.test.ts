import { expect, test } from 'vitest'
import type { Job } from '#shared/api/jobs.ts'
import type { Api } from '#server/entry/cli/api-client.ts'
import { followUnlessDeleted, type Following } from '#server/entry/cli/follow-backup.ts'
import { fail } from '#shared/errors.ts'

const never = new AbortController().signal
const unused = async (): Promise<never> => Promise.reject(new Error('not asked for'))
const JOB = { id: 'job', server_id: 'server' } as Job

/** A control plane on which a backup begins, and which answers looks at it with `error`. */
const answering = (error: Error): { readonly following: Following; readonly said: string[] } => {
  const said: string[] = []
  const api: Api = {
    url: 'http://here',
    get: async (path: string): Promise<never> =>
      path.includes('?') ? Promise.resolve([] as never) : Promise.reject(error),
    post: async (): Promise<never> => Promise.resolve({ id: 'backup' } as never),
    patch: unused,
    remove: unused,
    answer: unused,
  }
  const out = { isTTY: false, write: () => true }
  const screen = { say: (text = '') => said.push(text), out, columns: 80 }
  return {
    following: { api, screen: screen as unknown as Following['screen'], whyWaiting: () => null },
    said,
  }
}

test('a backup that somebody deletes while it is followed ends the following, and nothing else', async () => {
  const gone = fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: 'backup' })
  const { following, said } = answering(gone)
  expect(await followUnlessDeleted(following, JOB, never)).toBeNull()
  expect(said.join()).toContain('was deleted')
})

test('what else is not there is said', async () => {
  const gone = fail('RESOURCE_NOT_FOUND', { resource: 'server', id: 'server' })
  await expect(followUnlessDeleted(answering(gone).following, JOB, never)).rejects.toBe(gone)
})
