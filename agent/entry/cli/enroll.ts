/** `holdfast-agent enroll`: makes this server's agent known to the control plane. */
import { fail } from '#shared/errors.ts'
import { enroll, type EnrollParts } from '../../flow/enroll.ts'
import type { Allow, Policy } from '../../core/policy.ts'
import type { Dial } from '../../ports.ts'
import { connectUrl } from '../connection.ts'
import { greet } from '../greet.ts'
import { readFlags } from './flags.ts'
import { allowFrom, ALLOW_FLAGS, policyLines } from './policy.ts'

export type EnrollOptions = {
  readonly url: string
  /** File with the token; `-` is standard input; null: wherever else there is one. */
  readonly tokenFile: string | null
  readonly confirm: readonly string[]
  readonly state: string | null
  readonly policy: string | null
  /** What the new local policy names; null where there is one already. */
  readonly allow: Allow | null
}

const USAGE =
  'holdfast-agent enroll --url URL [--token-file FILE|-] [--confirm FINGERPRINT]… [--state FOLDER] [--policy FILE] [--allow-source PATH]… [--allow-restore PATH]…'

export const enrollOptions = (args: readonly string[]): EnrollOptions => {
  const names = ['url', 'token-file', 'confirm', 'state', 'policy', ...ALLOW_FLAGS]
  const flags = readFlags(args, names, USAGE)
  const url = flags.one('url')
  if (url === null || !URL.canParse(url))
    throw fail('WRONG_USE', {
      problem: `--url must be the control plane's address. Usage: ${USAGE}`,
    })
  const tokenFile = flags.one('token-file')
  return {
    url,
    tokenFile,
    confirm: flags.all('confirm'),
    state: flags.one('state'),
    policy: flags.one('policy'),
    allow: allowFrom(flags),
  }
}

export type EnrollWorld = Omit<EnrollParts, 'greet'> & {
  readonly dial: Dial
  /** The one-time token. */
  readonly token: string
  /** The local policy as it is now. */
  readonly policy: Policy
}

export const runEnroll = async (options: EnrollOptions, parts: EnrollWorld): Promise<number> => {
  const url = connectUrl(options.url)
  const { dial, token, show } = parts
  const { clock } = parts.world
  const identity = await enroll(
    { ...parts, greet: async (introduce) => await greet({ dial, url, clock, introduce }) },
    { url, token, confirmed: options.confirm },
  )
  const readable = identity.pinned.length
  show(`Enrolled as server ${identity.server ?? ''}; ${String(readable)} vaults pinned.\n`)
  for (const line of policyLines(parts.policy)) show(`${line}\n`)
  return 0
}
