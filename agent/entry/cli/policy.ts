/** `holdfast-agent policy`: shows the local policy, or writes the first one. */
import { resolve } from 'node:path'
import { showBytes } from '../../core/open-show.ts'
import type { Allow, Policy } from '../../core/policy.ts'
import { type Flags, readFlags } from './flags.ts'

export const ALLOW_FLAGS = ['allow-source', 'allow-restore'] as const

/** What the flags allow; null where none of them stands. Relative paths are those of the folder of the moment. */
export const allowFrom = (flags: Flags): Allow | null => {
  const sources = flags.all('allow-source').map((path) => resolve(path))
  const restores = flags.all('allow-restore').map((path) => resolve(path))
  return sources.length + restores.length === 0 ? null : { sources, restores }
}

const USAGE = 'holdfast-agent policy [--policy FILE] [--allow-source PATH]… [--allow-restore PATH]…'

export type PolicyOptions = {
  readonly policy: string | null
  readonly allow: Allow | null
}

export const policyOptions = (args: readonly string[]): PolicyOptions => {
  const flags = readFlags(args, ['policy', ...ALLOW_FLAGS], USAGE)
  return { policy: flags.one('policy'), allow: allowFrom(flags) }
}

const listed = (paths: Policy['sources']): string =>
  paths.length === 0 ? 'nothing' : paths.map(showBytes).join(', ')

/** For a person. */
export const policyLines = (policy: Policy): readonly string[] => [
  `policy ${policy.file}`,
  `  may be backed up: ${listed(policy.sources)}`,
  `  may be restored to: ${listed(policy.restores)}`,
]
