/** Somebody empties the bucket: the next backup of files that did not change is whole again, and the one before says what it lost. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Backup } from '#shared/api/backups.ts'
import { startInstance } from '../support/instance.ts'
import { runOpen } from '../support/run-open.ts'
import { differences, snapshot } from '../support/same-tree.ts'
import { eventually } from '../support/wait.ts'

test('an emptied bucket is filled again by the next backup, bit for bit, and the lost backup is shown as such', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hf-emptied-'))
  const source = join(folder, 'source')
  mkdirSync(source)
  for (let n = 0; n < 40; n += 1)
    writeFileSync(join(source, `file ${n}`), randomBytes(1000 + 97 * n))
  writeFileSync(join(source, 'large'), randomBytes(3 * 1024 * 1024))
  const instance = await startInstance(folder)
  try {
    const { jobId } = await instance.protect('emptied', [source])
    const first = await instance.backup(jobId)
    expect(first['status']).toBe('completed')
    const bucket = join(instance.data, 's3', 'holdfast')
    rmSync(join(bucket, 'vaults'), { recursive: true })
    const second = await instance.backup(jobId)
    expect(second).toMatchObject({ status: 'completed', sequence: 2 })
    const target = join(folder, 'restored')
    const { exit, err } = await runOpen([
      bucket,
      ...['--identity', instance.kit, '--backup', String(second['id']), 'restore', target],
    ])
    expect([exit, err]).toEqual([0, err])
    expect(differences(snapshot(source), snapshot(join(target, source)))).toEqual([])
    const verified = async (): Promise<Backup['last_verified']['objects']> => {
      const { data } = await instance.call('GET', `/v1/backups/${String(first['id'])}`)
      return (data as Backup).last_verified.objects
    }
    await eventually('the lost backup to be verified', async () => (await verified()) !== null)
    expect(await verified()).toMatchObject({ status: 'failed', problem_count: 1 })
  } finally {
    await instance.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
