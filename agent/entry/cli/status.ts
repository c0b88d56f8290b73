/** `holdfast-agent status`: who this agent is, whom it trusts, and where its jobs stand. */
import { showFingerprint } from '#shared/format/keys.ts'
import { fail } from '#shared/errors.ts'
import { readParentFile } from '../../core/state.ts'
import { loadIdentity } from '../../flow/enroll.ts'
import type { StateFolder } from '../../ports.ts'

export type StatusParts = {
  readonly state: StateFolder
  readonly folder: string
  readonly isRunning: boolean
}

const jobLines = (state: StateFolder): readonly string[] =>
  state.list('jobs').flatMap((job) => {
    const bytes = state.read(`jobs/${job}/parent.json`)
    if (bytes === null) return [`job ${job}  no backup yet`]
    const { backup, sequence } = readParentFile(bytes)
    return [`job ${job}  backup ${backup} (number ${String(sequence)})`]
  })

/** Lines for a person. `NOT_ENROLLED` where there is no agent. */
export const status = ({ state, folder, isRunning }: StatusParts): string => {
  const identity = loadIdentity(state)
  if (identity?.server === undefined || identity.server === null)
    throw fail('NOT_ENROLLED', { state: folder })
  const pins = identity.pinned.map(
    ({ vault, fingerprint }) => `vault ${vault}  readers ${showFingerprint(fingerprint)}`,
  )
  return [
    `server ${identity.server}`,
    `organization ${identity.organization?.name ?? 'unknown'}`,
    `control plane ${identity.url}`,
    `agent ${isRunning ? 'running' : 'not running'}`,
    ...pins,
    ...jobLines(state),
    '',
  ].join('\n')
}
