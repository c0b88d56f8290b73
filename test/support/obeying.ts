/** What takes orders, with a control plane that only listens and settles. */
import { recipientsFingerprint } from '#shared/format/keys.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import { createObey, type Obey, type ObeyParts } from '#agent/flow/obey.ts'
import type { Answers } from '#agent/ports.ts'
import type { RestoreAnswers } from '#agent/ports/restore-link.ts'
import { anId, createControlPlane } from './agent-control-plane.ts'
import { eventually } from './wait.ts'

const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
const SET = { content: [], recovery: [], list: [] }

export const backupOrder = (): BackupStart => createControlPlane(SET).order([])

const bytes = (length: number): string => Buffer.alloc(length, 1).toString('base64url')

export const restoreOrder = (over: Partial<RestoreStart> = {}): RestoreStart => ({
  type: 'restore.start',
  id: anId(),
  run: anId(),
  epoch: 1,
  lease_seconds: 60,
  backup: anId(),
  backup_name: 'backup',
  job_name: 'job',
  vault: anId(),
  signers: [],
  record: {
    key: 'key',
    size: 1,
    sha256: bytes(32),
    url: 'http://127.0.0.1:9/',
    expires_at: 0,
    sealed_file_key: bytes(65),
  },
  opening: anId(),
  sealed_id_key: bytes(81),
  selection_pages: 0,
  target: '/somewhere',
  conflict: 'overwrite',
  ...over,
})

export type Told = { readonly run: string; readonly type: string; readonly body: object }
export type Obeying = { readonly obey: Obey; readonly told: Told[] }

type Parts = Partial<ObeyParts> & {
  /** What the end of a run waits for before it is settled. */
  readonly settled?: (stop: AbortSignal) => Promise<void>
}

export const obeying = ({ settled, ...parts }: Parts): Obeying => {
  const told: Told[] = []
  const tell = (run: string) => (type: string, body: object) => {
    told.push({ run, type, body })
  }
  const obey = createObey({
    log: SILENT,
    beyond: () => null,
    linkFor: (run) => ({
      request: async <T extends keyof Answers>(type: T, body: object, stop: AbortSignal) => {
        if (type !== 'backup.ended') throw new Error('only the end is asked here')
        tell(run)(type, body)
        await settled?.(stop)
        return { type: 'backup.settled', id: anId(), run } as unknown as Answers[T]
      },
      tell: tell(run),
    }),
    restoreLinkFor: (run) => ({
      request: async <T extends keyof RestoreAnswers>(type: T, body: object, stop: AbortSignal) => {
        tell(run)(type, body)
        await settled?.(stop)
        return { type: 'restore.settled', id: anId(), run } as unknown as RestoreAnswers[T]
      },
      tell: tell(run),
    }),
    drained: async () => Promise.resolve(),
    pinned: () => recipientsFingerprint(SET),
    backup: async () => Promise.resolve(),
    barred: () => null,
    restore: async () => Promise.resolve(),
    prove: () => undefined,
    keep: () => undefined,
    ...parts,
  })
  return { obey, told }
}

export const idle = async (obey: Obey): Promise<true> =>
  eventually('the end of all runs', () => obey.runs().length === 0)
