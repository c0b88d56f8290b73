/** Records of a run that did not become a backup: whoever reads the bucket alone must not take them for one. */
import { problemOf } from '#shared/errors.ts'
import type { RunScope } from '../ports/runs.ts'
import type { AgentParts } from './agent-parts.ts'

/** What cannot be removed now is only garbage: it is told, and nothing waits for it. */
export const dropRecords = async (
  parts: Pick<AgentParts, 'objects' | 'stores' | 'log'>,
  scope: Pick<RunScope, 'backup' | 'storage' | 'vault'>,
  stop: AbortSignal,
): Promise<void> => {
  if (scope.vault === null) return
  try {
    const keys = await parts.objects.forget(scope.backup, ['record'], [])
    if (keys.length === 0) return
    const store = await parts.stores.open(scope.storage)
    await store.remove(keys, stop)
  } catch (error) {
    parts.log.warn(
      { backup: scope.backup, problem: problemOf(error) },
      'the record of a run that failed stays in the bucket',
    )
  }
}
