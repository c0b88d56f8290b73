/** Verifications over the API, from asking to their end. */
import type { Verification } from '#shared/api/verifications.ts'
import { dataOf } from './answers.ts'
import type { TestApp } from './http-app.ts'
import { eventually } from './wait.ts'

type Of = { readonly api: Pick<TestApp, 'call'> }

/** It, once it is over. */
export const settledVerification = async ({ api }: Of, id: string): Promise<Verification> =>
  eventually('the verification is over', async () => {
    const shown = dataOf(
      await api.call('GET', `/v1/verifications/${id}`),
    ) as unknown as Verification
    return shown.status === 'completed' || shown.status === 'failed' ? shown : null
  })

export const verifyBackup = async (world: Of, backup: string): Promise<Verification> => {
  const answer = await world.api.call('POST', `/v1/backups/${backup}/verify`, {
    body: { level: 'restore' },
  })
  if (answer.status !== 202) throw new Error(JSON.stringify(answer.body))
  return settledVerification(world, String(dataOf(answer)['id']))
}

/** What the backup says of it. */
export const lastVerified = async ({ api }: Of, backup: string): Promise<unknown> => {
  const shown = dataOf(await api.call('GET', `/v1/backups/${backup}`))
  return (shown['last_verified'] as { restore: unknown }).restore
}
