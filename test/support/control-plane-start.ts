/** What the control plane in memory orders. */
import { createHash } from 'node:crypto'
import type { RecipientSet } from '#shared/format/keys.ts'
import type { BackupStart, FilesSource } from '#shared/protocol/orders.ts'

/** What it knows by then. */
type Plane = {
  readonly commits: readonly {
    readonly run: string
    readonly sequence: number
    readonly recordKey: string
  }[]
  readonly store: ReadonlyMap<string, Uint8Array>
  readonly genesis: string | null
  readonly emptied: boolean
  readonly gone: number[]
  readonly retired: number[]
  readonly gcEpoch: number
  readonly catalogEpoch: number
}

type About = {
  readonly vault: string
  readonly job: string
  readonly recipients: RecipientSet
  readonly packBytes: number
  readonly anId: () => string
}

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64url')

export const startOf = (
  cp: Plane,
  { vault, job, recipients, packBytes, anId }: About,
  sources: readonly FilesSource[],
): BackupStart => {
  const parent = cp.commits.at(-1)
  return {
    type: 'backup.start',
    id: anId(),
    run: anId(),
    epoch: 1,
    lease_seconds: 60,
    job,
    job_name: 'test',
    vault: {
      id: vault,
      is_new: cp.genesis === null,
      ...(cp.emptied ? { again: true } : {}),
      recipients: {
        content: [...recipients.content],
        recovery: [...recipients.recovery],
        list: [...recipients.list],
      },
    },
    catalog_epoch: cp.catalogEpoch,
    sequence: cp.commits.length + 1,
    parent:
      parent === undefined
        ? null
        : {
            backup: parent.run,
            sequence: parent.sequence,
            record_sha256: sha(cp.store.get(parent.recordKey) ?? Buffer.from('gone')),
          },
    kept: cp.commits.length === 0 ? [] : [[1, cp.commits.length]],
    sources: [...sources],
    gc_epoch: cp.gcEpoch,
    gone: cp.gone,
    ...(cp.emptied ? { forget: true } : {}),
    retired: cp.retired,
    pack_bytes: packBytes,
  }
}
