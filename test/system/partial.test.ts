/** Files of which a real agent cannot read all: the backup says which, and gives back the rest. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KiB, MiB } from '#shared/units.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { endOfRestore, restoreOf, startRestore } from '../support/instance-restores.ts'
import { differences, snapshot } from '../support/same-tree.ts'
import { eventually } from '../support/wait.ts'

/** Modes mean nothing to root, unless it gives that right away: then they mean to it what they mean to others. */
const BOUND = ['setpriv', '--bounding-set=-dac_override,-dac_read_search']
const isRoot = process.geteuid?.() === 0
const canRefuse = !isRoot || spawnSync(BOUND[0] ?? '', [...BOUND.slice(1), 'true']).status === 0

const folder = mkdtempSync(join(tmpdir(), 'hf-partial-'))
let instance: Instance
beforeAll(async () => {
  instance = await startInstance(folder)
})
afterAll(async () => {
  await instance.close()
  rmSync(folder, { recursive: true, force: true })
})

type Data = Record<string, unknown>
type Problem = { readonly path: string; readonly code: string; readonly problem: string }
const dataOf = (answer: Data): Data => answer['data'] as Data
const backupOf = async (id: string): Promise<Data> =>
  dataOf(await instance.call('GET', `/v1/backups/${id}`))
const logOf = async (kind: 'backups' | 'restores', id: string): Promise<readonly string[]> =>
  ((await instance.call('GET', `/v1/${kind}/${id}/logs`))['data'] as Data[]).map((line) =>
    String(line['message']),
  )
const namedIn = (backup: Data): readonly (readonly [string, string])[] =>
  (backup['errors'] as Problem[]).map(({ path, code }) => [path, code] as const)

/** What comes back differs from what was there in nothing but `ignored`. */
const comesBack = async (
  [agent, source]: readonly [Protected, string],
  [backup, facts]: readonly [string, ReturnType<typeof snapshot>],
  ignored: readonly string[],
): Promise<string> => {
  const target = join(folder, `restored-${backup}`)
  const { id } = await startRestore(instance, { backup, server: agent.serverId, target })
  await endOfRestore(instance, id)
  const raw = ignored.map((name) => Buffer.from(`/${name}`, 'utf8').toString('latin1'))
  expect(differences(facts, snapshot(join(target, source)), new Set(raw))).toEqual([])
  return id
}

test.skipIf(!canRefuse)(
  'a path that is not there, and a file that may not be read, are named; all others are in the backup',
  async () => {
    const source = join(folder, 'source one')
    const missing = join(folder, 'never there')
    mkdirSync(join(source, 'below'), { recursive: true })
    for (let i = 0; i < 20; i += 1)
      writeFileSync(join(source, 'below', `file ${i}`), randomBytes(40 * KiB))
    writeFileSync(join(source, 'secret'), 'nobody reads this')
    writeFileSync(join(source, 'zoo'), 'behind it')
    const agent = await instance.protect('unreadable', [source, missing], {
      ...(isRoot ? { by: BOUND } : {}),
    })
    const facts = snapshot(source)
    chmodSync(join(source, 'secret'), 0o000)
    const { id, status } = await instance.backup(agent.jobId)
    expect(status).toBe('partial')
    const seen = await backupOf(String(id))
    expect(seen).toMatchObject({ error: null, error_count: 2, counts: { errors: 2, skipped: 1 } })
    expect([...namedIn(seen)].sort()).toEqual([
      [missing, 'SOURCE_UNREADABLE'],
      [join(source, 'secret'), 'SOURCE_UNREADABLE'],
    ])
    const log = await logOf('backups', String(id))
    expect(log.find((line) => line.includes(missing))).toContain('it does not exist')
    expect(log.find((line) => line.includes(join(source, 'secret')))).toContain('EACCES')

    const restore = await comesBack([agent, source], [String(id), facts], ['secret'])
    const end = await restoreOf(instance, restore)
    expect(end).toMatchObject({ status: 'partial', counts: { failed: 1 } })
    expect((await logOf('restores', restore)).join('\n')).toContain(join(source, 'secret'))
  },
)

/** Bytes that the process has read so far, of files and of all else. */
const readBy = (pid: number | undefined): number =>
  Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${String(pid)}/io`, 'utf8'))?.[1])

const SIZE = 192 * MiB
const FEW = 24 * MiB

test('a file that becomes shorter while it is read is named, and all others are in the backup', async () => {
  const source = join(folder, 'source two')
  mkdirSync(source)
  writeFileSync(join(source, 'a'), randomBytes(40 * KiB))
  writeFileSync(join(source, 'shrinks'), Buffer.alloc(SIZE, randomBytes(3 * MiB)))
  writeFileSync(join(source, 'z'), randomBytes(40 * KiB))
  const agent = await instance.protect('shrinking', [source])
  const facts = snapshot(source)
  const { pid } = agent.agent
  const before = readBy(pid)
  const ended = instance.backup(agent.jobId)
  await eventually('the middle of the file', () => readBy(pid) - before > FEW)
  agent.agent.kill('SIGSTOP')
  // It stands still before the end of the file.
  expect(readBy(pid) - before).toBeLessThan(SIZE)
  truncateSync(join(source, 'shrinks'), 100)
  agent.agent.kill('SIGCONT')
  const { id, status } = await ended
  expect(status).toBe('partial')
  const seen = await backupOf(String(id))
  expect(seen).toMatchObject({ error: null, error_count: 1, counts: { errors: 1 } })
  expect(namedIn(seen)).toEqual([[join(source, 'shrinks'), 'SOURCE_SHRUNK']])
  expect((await logOf('backups', String(id))).join('\n')).toContain(
    `${join(source, 'shrinks')} became shorter`,
  )
  await comesBack([agent, source], [String(id), facts], ['shrinks', ''])
  const again = await instance.backup(agent.jobId)
  expect(again['status']).toBe('completed')
  await comesBack([agent, source], [String(again['id']), snapshot(source)], [])
})
