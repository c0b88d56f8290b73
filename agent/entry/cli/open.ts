/** `open`: looks into vaults and restores from them with an identity, without a control plane. */
import { parseArgs } from 'node:util'
import { CATALOGUE, Failure, fail, problemOf } from '#shared/errors.ts'
import { parseFingerprint } from '#shared/format/keys.ts'
import type { OpenAsk, OpenEvent, Verdict } from '../../core/open-events.ts'
import type { OpenWorld } from '../../core/restore-ports.ts'
import { open } from '../../flow/open.ts'
import { jsonLine } from './open-json.ts'
import { createText, type Text } from './open-text.ts'

export const OPEN_HELP = `Usage: holdfast open SOURCE... --identity FILE [options] [ls [PATH] | restore TARGET [PATH...]]

Looks into vaults and restores from them with an identity alone: no control plane, no network but the given URLs.

SOURCE is the folder that holds "vaults" (a copy of the bucket, or the folder of the embedded storage),
or URLs of the objects of a vault, as "holdfast get --urls" or any presigner makes them.

  (nothing)               lists the vaults and their backups
  ls [PATH]               lists a folder of the backup
  restore TARGET [PATH…]  restores everything, or the paths given, below TARGET, which must be empty or new

Options:
  -i, --identity FILE     age identities: of the encryption key, or the recovery kit (repeatable)
      --genesis HEX       the vault's fingerprint, from the recovery kit; without it the first use is trusted
      --vault ID          which vault, where there are several
      --job ID            which job, where there are several
      --backup ID         an id, "latest" (the default) or "all"
      --urls FILE         more URLs, one a line (repeatable)
      --target DIR        the same as TARGET; then all that follows "restore" is paths
  -r, --recursive         ls: everything below PATH
      --json              one JSON object a line
  -h, --help

Exit codes: 0 done, 2 wrong use, 3 done in part, 4 wrong key, 5 not found, 6 cannot reach it, 7 damaged.
`

export type Console = {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** Resolves when `out` has room again. */
  readonly drained?: () => Promise<void>
  /** Standard error is a terminal, on which a line can change in place. */
  readonly live?: boolean
}

/** `args` are those after `open`. Answers the exit code; throws nothing but mistakes of ours. */
export const openCommand = async (
  args: readonly string[],
  world: OpenWorld,
  {
    out,
    err,
    drained = async () => Promise.resolve(),
    live = false,
    stop,
  }: Console & { readonly stop: AbortSignal },
): Promise<number> => {
  let json = false
  let text: Text | null = null
  try {
    const parsed = parse(args)
    if (parsed === null) {
      out(OPEN_HELP)
      return 0
    }
    json = parsed.json
    text = createText({ out, err, live }, parsed.ask.action.do === 'list')
    const tell = json ? (event: OpenEvent) => tellJson(out, event) : text.tell
    const verdict = await open(parsed.ask, world, { tell, taken: drained, stop })
    if (json) out(`${JSON.stringify({ event: 'end', verdict })}\n`)
    return EXIT[verdict]
  } catch (error) {
    text?.end()
    if (stop.aborted) return 130
    if (!(error instanceof Failure)) throw error
    const { code, message } = error
    if (json) out(`${JSON.stringify({ event: 'error', code, message })}\n`)
    else err(`${message}\n`)
    return CATALOGUE[code].exit
  }
}

export const tellJson = (out: (text: string) => void, event: OpenEvent): void => {
  const line = jsonLine(event)
  if (line !== null) out(`${line}\n`)
}

export const EXIT: Readonly<Record<Verdict, number>> = {
  done: 0,
  partial: CATALOGUE.TARGET_UNWRITABLE.exit,
  damaged: CATALOGUE.DAMAGED.exit,
  absent: CATALOGUE.RESOURCE_NOT_FOUND.exit,
}

const OPTIONS = {
  identity: { type: 'string', short: 'i', multiple: true },
  genesis: { type: 'string' },
  vault: { type: 'string' },
  job: { type: 'string' },
  backup: { type: 'string' },
  urls: { type: 'string', multiple: true },
  target: { type: 'string' },
  recursive: { type: 'boolean', short: 'r' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

type Parsed = { readonly ask: OpenAsk; readonly json: boolean }

/** Null when help was asked for. `WRONG_USE` for what makes no sense. */
const parse = (args: readonly string[]): Parsed | null => {
  const { values, positionals } = split(args)
  if (values.help === true) return null
  const verb = positionals.findIndex((word) => word === 'ls' || word === 'restore')
  const sources = verb < 0 ? positionals : positionals.slice(0, verb)
  const rest = verb < 0 ? [] : positionals.slice(verb + 1)
  if (values.identity === undefined) throw wrong('--identity FILE is missing')
  const { genesis, vault, job, backup = 'latest', urls = [] } = values
  return {
    json: values.json === true,
    ask: {
      sources,
      urlFiles: urls,
      identities: values.identity,
      backup,
      action: actionOf(positionals[verb], rest, values),
      ...(genesis === undefined ? {} : { genesis: parseFingerprint(genesis) }),
      ...(vault === undefined ? {} : { vault }),
      ...(job === undefined ? {} : { job }),
    },
  }
}

type Split = ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>>

const split = (args: readonly string[]): Split => {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw wrong(problemOf(error).split('. ')[0] ?? '')
  }
}

const actionOf = (
  verb: string | undefined,
  rest: readonly string[],
  { target, recursive = false }: Split['values'],
): OpenAsk['action'] => {
  if (verb === 'ls') {
    if (rest.length > 1) throw wrong('ls takes one path')
    return { do: 'ls', path: rest[0] ?? '/', recursive }
  }
  if (verb !== 'restore') return { do: 'list' }
  if (target !== undefined) return { do: 'restore', target, paths: rest }
  const [folder, ...paths] = rest
  if (folder === undefined) throw wrong('restore needs the folder to restore into')
  return { do: 'restore', target: folder, paths }
}

const wrong = (problem: string): Failure => fail('WRONG_USE', { problem })
