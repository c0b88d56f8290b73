/** Verifications over the API, from asking to their end. */
import { createPace } from '#server/flow/verifications/pace.ts'
import { verifyObjects } from '#server/flow/verifications/verify-objects.ts'
import { verifyRestore } from '#server/flow/verifications/verify-restore.ts'
import { systemClock } from '#server/io/clock.ts'
import { systemRandom } from '#server/io/random.ts'
import type { BackupId } from '#shared/ids.ts'
import type { Verification, VerificationLevel } from '#shared/api/verifications.ts'
import { dataOf } from './answers.ts'
import type { TestApp } from './http-app.ts'
import { newId } from './http-objects.ts'
import type { ReadingWorld } from './stored-vault.ts'
import { eventually } from './wait.ts'

type Of = { readonly api: Pick<TestApp, 'call'> }

/** It, once it is over. */
export const settledVerification = async ({ api }: Of, id: string): Promise<Verification> =>
  eventually('the verification is over', async () => {
    const shown = dataOf(
      await api.call('GET', `/v1/verifications/${id}`),
    ) as unknown as Verification
    return shown.status === 'pending' || shown.status === 'running' ? null : shown
  })

export const verifyBackup = async (
  world: Of,
  backup: string,
  level: VerificationLevel = 'restore',
): Promise<Verification> => {
  const answer = await world.api.call('POST', `/v1/backups/${backup}/verify`, {
    body: { level },
  })
  if (answer.status !== 202) throw new Error(JSON.stringify(answer.body))
  return settledVerification(world, String(dataOf(answer)['id']))
}

/** What the backup says of it. */
export const lastVerified = async (
  { api }: Of,
  backup: string,
  level: VerificationLevel = 'restore',
): Promise<unknown> => {
  const shown = dataOf(await api.call('GET', `/v1/backups/${backup}`))
  return (shown['last_verified'] as Record<VerificationLevel, unknown>)[level]
}

/** A verification that only the test works on; its claim lasts for an hour. */
export type ByHand = {
  readonly id: string
  /** One turn of at most `turn` ms; then whether it has ended. */
  readonly turn: (turn: number) => Promise<Verification>
}

/** `backup` must be committed. Nobody else takes it up: it is claimed as it is made. */
export const verifyByHand = async (
  { api, database, organization }: ReadingWorld,
  backup: BackupId,
  level: VerificationLevel,
  { givesBack = false }: { readonly givesBack?: boolean } = {},
): Promise<ByHand> => {
  const { db } = database
  const of = await api.agents.reading.committed({ organization, project: null }, backup)
  const row = await db
    .insertInto('verifications')
    .values({
      ...{ id: newId<'verification'>(), org_id: organization, backup_id: backup },
      ...{ vault_id: of!.vault, storage_id: of!.storage, level, gc_floor: 0 },
      requested_by: { name: 'test' },
      status: 'running',
      lease_epoch: 1,
      lease_until: new Date(Date.now() + 3_600_000),
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  const { verifications, storedObjects } = api.resources
  const parts = {
    ...{ ...api.agents, storedObjects, clock: systemClock, random: systemRandom },
    // Else the test is the next one who works on it, too.
    verifications: givesBack
      ? verifications
      : { ...verifications, release: async () => Promise.resolve() },
    pace: createPace(systemClock, null),
  }
  const stop = new AbortController().signal
  return {
    id: row.id,
    turn: async (turn) => {
      const { checkpoint } = await db
        .selectFrom('verifications')
        .select('checkpoint')
        .where('id', '=', row.id)
        .executeTakeFirstOrThrow()
      const { id } = row
      const job = { id, organization, backup, level, openRequest: null, checkpoint }
      const work =
        level === 'restore'
          ? verifyRestore({ ...parts, turn }, turn === 0 ? { window: 1 } : {})
          : verifyObjects({ ...parts, turn })
      await work({ job, epoch: 1, attempt: 1 }, { stop, report: () => undefined })
      const caller = await api.resources.tokens.find(api.token)
      const shown = await verifications.get(caller!, id)
      return shown!
    },
  }
}
