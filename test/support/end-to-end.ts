/** The whole way with parts that are elsewhere: three backups of a changing folder, each restored and compared, one of them by an agent. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UNSETTLED } from '#agent/core/stat.ts'
import type { ReadStore } from '#shared/store.ts'
import type { Instance, Protected } from './instance.ts'
import { endOfRestore, startRestore } from './instance-restores.ts'
import { runOpen } from './run-open.ts'
import { differences, type Fact, snapshot } from './same-tree.ts'
import { eventually } from './wait.ts'

const stop = new AbortController().signal

/** All objects below the store's prefix as files. */
export const copyObjects = async (store: ReadStore, folder: string): Promise<number> => {
  let count = 0
  for await (const key of store.list('', stop)) {
    const found = await store.head(key, stop)
    const bytes = found?.size === 0 ? new Uint8Array() : await store.get(key, { start: 0 }, stop)
    if (bytes === null) throw new Error(`${key} is listed and not there`)
    const path = join(folder, key)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
    count += 1
  }
  return count
}

export type EndToEnd = {
  readonly instance: Instance
  readonly agent: Protected
  /** Another server, onto which the last backup is restored. */
  readonly other: Protected
  /** What is backed up. */
  readonly source: string
  /** Changes it between backups. */
  change(): void
  /** The bucket, with the storage's own keys. */
  readonly store: ReadStore
  /** Empty, for what is restored. */
  readonly folder: string
}

type Backup = { readonly id: string; readonly facts: ReadonlyMap<string, Fact> }

type Data = Readonly<Record<string, unknown>>

const numberIn = (backup: Data, group: string, name: string): number =>
  Number((backup[group] as Data | null)?.[name])

const backUp = async (
  { instance, agent, source }: EndToEnd,
  what: string,
  violations: string[],
): Promise<Backup & { readonly data: Data }> => {
  const facts = snapshot(source)
  const data = await instance.backup(agent.jobId)
  if (data['status'] !== 'completed')
    violations.push(`${what}: ${String(data['status'])} ${JSON.stringify(data['error'])}`)
  return { id: String(data['id']), facts, data }
}

const restore = async (
  { instance, folder, source }: EndToEnd,
  bucket: string,
  backup: Backup,
): Promise<string[]> => {
  const target = join(folder, `restored-${backup.id}`)
  const { exit, err } = await runOpen([
    bucket,
    ...['--identity', instance.kit, '--backup', backup.id, 'restore', target],
  ])
  if (exit !== 0) return [`restoring ${backup.id}: exit code ${exit}: ${err}`]
  const found = differences(backup.facts, snapshot(join(target, source)))
  rmSync(target, { recursive: true, force: true })
  return found.map((line) => `restored ${backup.id}: ${line}`)
}

/** By the agent of another server, from where the objects lie. */
const restoreElsewhere = async (
  { instance, other, folder, source }: EndToEnd,
  backup: Backup,
): Promise<string[]> => {
  const target = join(folder, `elsewhere-${backup.id}`)
  const wish = { backup: backup.id, server: other.serverId, target }
  const { id } = await startRestore(instance, wish)
  const { status, error } = await endOfRestore(instance, id)
  if (status !== 'completed') return [`the restore elsewhere: ${status} ${JSON.stringify(error)}`]
  const found = differences(backup.facts, snapshot(join(target, source)))
  rmSync(target, { recursive: true, force: true })
  return found.map((line) => `restored elsewhere: ${line}`)
}

/** What was promised and not kept, a sentence each. */
export const endToEnd = async (setting: EndToEnd): Promise<string[]> => {
  const violations: string[] = []
  // What was written this moment is read again by the next backup: its times could not tell a second write.
  const made = Date.now()
  await eventually('the files to settle', () => Date.now() - made > 2 * UNSETTLED)
  const first = await backUp(setting, 'the first backup', violations)
  const second = await backUp(setting, 'the unchanged backup', violations)
  const sent = [numberIn(second.data, 'bytes', 'new'), numberIn(second.data, 'counts', 'changed')]
  if (sent.some((number) => number !== 0))
    violations.push(`the unchanged backup sent ${sent[0]} bytes of ${sent[1]} changed files`)
  setting.change()
  const third = await backUp(setting, 'the changed backup', violations)
  if (!(numberIn(third.data, 'bytes', 'new') > 0))
    violations.push('the changed backup sent nothing')
  violations.push(...(await restoreElsewhere(setting, third)))
  const bucket = join(setting.folder, 'bucket')
  await copyObjects(setting.store, bucket)
  for (const backup of [first, second, third])
    violations.push(...(await restore(setting, bucket, backup)))
  rmSync(bucket, { recursive: true, force: true })
  return violations
}
