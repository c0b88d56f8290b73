/** The agent as a program of its own, against a control plane with nothing left out. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { type Selectable, sql } from 'kysely'
import { prepareVault } from '#server/flow/prepare-vault.ts'
import type { Schema } from '#server/io/db/schema.ts'
import type { BackupId, JobId, ServerId } from '#shared/ids.ts'
import type { Plane } from './agent-plane.ts'
import { type ReadBack, readBack } from './agent-read-back.ts'
import { eventually } from './wait.ts'

const PROGRAM = fileURLToPath(new URL('../../agent/main.ts', import.meta.url))

export type Ended = { readonly code: number | null; readonly out: string; readonly err: string }

export type Program = {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

export const startProgram = (
  args: readonly string[],
  input = '',
  env: Readonly<Record<string, string>> = {},
): Program => {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, ...env },
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (data: Buffer) => (out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const ended = once(child, 'close').then(([code]: unknown[]) => ({
    code: typeof code === 'number' ? code : null,
    out,
    err,
  }))
  return { child, ended }
}

export type Machine = {
  readonly folder: string
  readonly source: string
  readonly state: string
  /** Its local policy, which allows everything. */
  readonly policy: string
  readonly server: ServerId
  readonly job: JobId
  /** Enrols, with the fingerprint that the control plane shows, or with another one. */
  enroll(confirm?: string): Promise<Ended>
  run(): Program
  /** What the command says, with these options and more of the environment. */
  status(args?: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended>
  backup(): Promise<BackupId>
  row(backup: BackupId): Promise<Selectable<Schema['backups']>>
  /** Waits until the backup is over. */
  over(backup: BackupId): Promise<Selectable<Schema['backups']>>
  /** Keys in the bucket, below the prefix. */
  keys(): Promise<readonly string[]>
  read(backup: BackupId): Promise<ReadBack>
  dispose(): void
}

const PREFIX = 'some/prefix/'
const OVER = new Set(['completed', 'partial', 'failed', 'canceled'])

/** A server with a folder to back up and a job for it. */
export const newMachine = async (plane: Plane): Promise<Machine> => {
  const { world, database, s3 } = plane
  const folder = mkdtempSync(join(tmpdir(), 'hf-machine-'))
  const source = join(folder, 'source')
  const state = join(folder, 'state')
  const policy = join(folder, 'policy.json')
  const places = ['--state', state, '--policy', policy]
  const server = await world.addServer()
  const job = await world.addJob(server)
  const sources = [{ type: 'files', paths: [source] }]
  await database.db
    .updateTable('job_versions')
    .set({ sources: sql`${sources}::jsonb` })
    .where('job_id', '=', job)
    .execute()
  const row = async (backup: BackupId): Promise<Selectable<Schema['backups']>> =>
    database.db.selectFrom('backups').selectAll().where('id', '=', backup).executeTakeFirstOrThrow()
  const keys = async (): Promise<string[]> => {
    const listed = await s3
      .client()
      .send(new ListObjectsV2Command({ Bucket: 'vaults', Prefix: PREFIX }))
    return (listed.Contents ?? []).map(({ Key = '' }) => Key.slice(PREFIX.length))
  }
  return {
    folder,
    source,
    state,
    policy,
    server,
    job,
    enroll: async (confirm) => {
      const { storage, key, organization } = world
      const vault = await prepareVault(plane.parts, organization, { server, storage, key })
      const token = await world.addToken(server)
      const fingerprint = confirm ?? vault.fingerprint
      const allowed = ['--allow-source', '/', '--allow-restore', '/']
      const how = ['--url', plane.url, `--confirm=${fingerprint}`, ...allowed]
      const args = ['enroll', ...places, ...how]
      return startProgram(args, `${token}\n`).ended
    },
    run: () => startProgram(['run', ...places]),
    status: async (args = [], env = {}) =>
      startProgram(['status', ...places, ...args], '', env).ended,
    backup: async () => world.addBackup(job, server),
    row,
    over: async (backup) => {
      await eventually('the end of the backup', async () => OVER.has((await row(backup)).status))
      return row(backup)
    },
    keys,
    read: async (backup) => {
      const store = new Map<string, Uint8Array>()
      for (const key of await keys()) {
        const got = await s3
          .client()
          .send(new GetObjectCommand({ Bucket: 'vaults', Key: `${PREFIX}${key}` }))
        const bytes = await got.Body?.transformToByteArray()
        if (bytes !== undefined) store.set(key, bytes)
      }
      const record = [...store.keys()].find((key) => key.includes(backup))
      if (record === undefined) throw new Error('the backup has no record')
      const vault = record.split('/')[1] ?? ''
      const own = new Map([...store].filter(([key]) => key.includes(vault)))
      return readBack(own, record, [world.content])
    },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  }
}
