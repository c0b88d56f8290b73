import { describe, expect, test } from 'vitest'
import { fail } from '#shared/errors.ts'
import { eventLoopTurn, systemClock } from '#agent/io/world.ts'
import type { RestoreRun } from '#agent/flow/obey-kinds.ts'
import { anId } from '../../support/agent-control-plane.ts'
import { backupOrder, idle, obeying, restoreOrder } from '../../support/obeying.ts'
import { eventually } from '../../support/wait.ts'

const types = (told: readonly { readonly type: string }[]): string[] => told.map(({ type }) => type)

const untilStopped = async ({ turn }: RestoreRun, stop: AbortSignal): Promise<void> => {
  await turn()
  await systemClock.sleep(60_000, stop)
}

describe('orders to restore', () => {
  test('are accepted, carried out one after the other beside backups, and finished by a request', async () => {
    const steps: string[] = []
    const backupMayEnd = Promise.withResolvers<undefined>()
    const { obey, told } = obeying({
      backup: async () => {
        steps.push('backup begins')
        await backupMayEnd.promise
      },
      restore: async ({ order: latest, turn, tally }) => {
        const order = latest()
        steps.push(`${order.job_name} prepares`)
        await turn()
        steps.push(`${order.job_name} begins`)
        await eventLoopTurn()
        steps.push(`${order.job_name} ends`)
        tally.counts.files = 3
        tally.counts.links = 1
        tally.bytesFetched = 77
      },
    })
    obey.order(backupOrder())
    obey.order(restoreOrder({ job_name: 'a' }))
    obey.order(restoreOrder({ job_name: 'b' }))
    await eventually('both restores', () => obey.runs().length === 1)
    expect(steps).toEqual([
      'a prepares',
      'b prepares',
      'backup begins',
      'a begins',
      'a ends',
      'b begins',
      'b ends',
    ])
    const finish = {
      type: 'restore.finish',
      body: {
        status: 'completed',
        counts: { files: 3, directories: 0, others: 1, skipped: 0, failed: 0 },
        bytes_fetched: 77,
      },
    }
    expect(told).toMatchObject([
      { type: 'backup.accepted' },
      { type: 'restore.accepted' },
      { type: 'restore.accepted' },
      finish,
      finish,
    ])
    backupMayEnd.resolve(undefined)
    await idle(obey)
  })

  test('that are repeated are accepted again under the new epoch, and done once', async () => {
    let begun = 0
    let name = ''
    const { obey, told } = obeying({
      restore: async ({ order }) => {
        begun += 1
        await eventLoopTurn()
        name = order().backup_name
      },
    })
    const start = restoreOrder()
    obey.order(start)
    obey.order({ ...start, epoch: 5, backup_name: 'newer' })
    expect(obey.runs()).toEqual([{ run: start.run, epoch: 5 }])
    await idle(obey)
    expect([begun, name]).toEqual([1, 'newer'])
    expect(types(told)).toEqual(['restore.accepted', 'restore.accepted', 'restore.finish'])
  })

  test('into a place that is barred are refused', async () => {
    const { obey, told } = obeying({
      barred: ({ target }) => fail('TARGET_UNSAFE', { path: target, problem: 'not here' }),
      restore: async () => Promise.reject(new Error('not run')),
    })
    obey.order(restoreOrder())
    await idle(obey)
    expect(told).toMatchObject([
      { type: 'restore.refused', body: { problem: { code: 'TARGET_UNSAFE' } } },
    ])
  })

  test('in part are finished as partial', async () => {
    const { obey, told } = obeying({
      restore: async ({ tally }) => {
        tally.counts.absent = 1
        return Promise.resolve()
      },
    })
    obey.order(restoreOrder())
    await idle(obey)
    expect(told.at(-1)?.body).toMatchObject({ status: 'partial', counts: { failed: 1 } })
  })

  test('that are canceled end as canceled, with what was done, also while they wait', async () => {
    const { obey, told } = obeying({
      restore: async (run, stop) => {
        run.tally.counts.files = 2
        await untilStopped(run, stop)
      },
    })
    const [first, second] = [restoreOrder(), restoreOrder()]
    obey.order(first)
    obey.order(second)
    await eventLoopTurn()
    for (const { run } of [second, first])
      obey.order({ type: 'restore.cancel', id: anId(), run, epoch: 1 })
    await idle(obey)
    const canceled = { type: 'restore.ended', body: { status: 'canceled', counts: { files: 2 } } }
    expect(told.slice(2)).toMatchObject([canceled, canceled])
  })

  test('that wait are canceled while the one before goes on', async () => {
    const { obey, told } = obeying({ restore: untilStopped })
    const [first, second] = [restoreOrder(), restoreOrder()]
    obey.order(first)
    obey.order(second)
    await eventLoopTurn()
    obey.order({ type: 'restore.cancel', id: anId(), run: second.run, epoch: 1 })
    await eventually('the end of the second', () => obey.runs().length === 1)
    expect(told.at(-1)).toMatchObject({ run: second.run, type: 'restore.ended' })
    await obey.stop()
  })

  test('stay listed until their end is settled, and are not canceled after they were done', async () => {
    const answer = Promise.withResolvers<undefined>()
    const { obey, told } = obeying({ settled: async () => answer.promise })
    const start = restoreOrder()
    obey.order(start)
    await eventually('the end', () => types(told).includes('restore.finish'))
    obey.order({ type: 'restore.cancel', id: anId(), run: start.run, epoch: 1 })
    await eventLoopTurn()
    expect(obey.runs().length).toBe(1)
    answer.resolve(undefined)
    await idle(obey)
    expect(types(told)).toEqual(['restore.accepted', 'restore.finish'])
  })

  test('whose lease is lost stop without a word, also while they wait to be settled', async () => {
    const { obey, told } = obeying({
      restore: untilStopped,
      settled: async (stop) => systemClock.sleep(60_000, stop),
    })
    const start = restoreOrder()
    obey.order(start)
    await eventLoopTurn()
    obey.order({ type: 'restore.cancel', id: anId(), run: start.run, epoch: 1 })
    await eventually('the end', () => types(told).includes('restore.ended'))
    obey.leases({ type: 'leases', id: anId(), renewed: [], lost: [start.run] })
    await idle(obey)
    const other = restoreOrder()
    obey.order(other)
    await eventLoopTurn()
    obey.leases({ type: 'leases', id: anId(), renewed: [], lost: [other.run] })
    await idle(obey)
    expect(types(told)).toEqual(['restore.accepted', 'restore.ended', 'restore.accepted'])
  })

  test('that fail say why, in the words of the catalogue', async () => {
    const { obey, told } = obeying({ restore: async () => Promise.reject(new Error('a mistake')) })
    obey.order(restoreOrder())
    await idle(obey)
    expect(told.at(-1)).toMatchObject({
      type: 'restore.ended',
      body: { status: 'failed', problem: { code: 'INTERNAL_AGENT' } },
    })
  })

  test('beyond a hundred runs of all kinds are refused', async () => {
    const { obey, told } = obeying({ restore: untilStopped })
    for (let i = 0; i < 101; i += 1) obey.order(restoreOrder())
    expect(types(told).filter((type) => type === 'restore.accepted').length).toBe(100)
    expect(told.at(-1)).toMatchObject({ body: { problem: { code: 'LIMIT_EXCEEDED' } } })
    await obey.stop()
    expect(obey.runs()).toEqual([])
  })

  test('to prove who asks go to whoever signs', () => {
    const asked: string[] = []
    const { obey } = obeying({ prove: ({ request }) => asked.push(request) })
    const request = anId()
    obey.order({
      type: 'open.prove',
      id: anId(),
      request,
      purpose: 'restore',
      backup: anId(),
      packs_sha256: Buffer.alloc(32).toString('base64url'),
      expires_at: 1,
    })
    expect(asked).toEqual([request])
  })
})
