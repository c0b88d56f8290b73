/** What the commands that speak to a control plane share: how it is found, and how their answers are given. */
import type { Command } from 'commander'
import { fail } from '#shared/errors.ts'
import type { Ms } from '#shared/units.ts'
import type { Random } from '#shared/world.ts'
import { type Api, apiClient } from './api-client.ts'
import type { Running } from './plane.ts'
import { type Screen, screenOn } from './screen.ts'
import { INTERRUPTED, onSignals } from './signals.ts'
import { EXIT } from './exit-codes.ts'
import type { ReaderRun } from './open.ts'

/** Flags of every such command. A token is never one of them: other users of the machine can read arguments. */
export type Common = {
  readonly url?: string
  readonly tokenFile?: string
  readonly data?: string
  readonly json?: boolean
}

export type DeskParts = {
  /** HOLDFAST_URL and HOLDFAST_TOKEN, and what the data folder says of the control plane that runs on it. */
  readonly known: (flags: Common) => {
    readonly url: string | null
    readonly token: string | null
    readRunning(): Promise<Running | null>
    readToken(): Promise<string | null>
  }
  readonly readText: (file: string) => Promise<string>
  /** Starts the agent's program with `input` on its stdin and our terminal. */
  readonly reader: (args: readonly string[], input: string) => Promise<ReaderRun>
  readonly random: Random
  readonly now: () => Ms
  /** A line that a person types. */
  readonly ask: (question: string) => Promise<string>
}

export type Desk = {
  readonly api: Api
  readonly screen: Screen
  readonly json: boolean
  readonly stop: AbortSignal
  readonly parts: DeskParts
  /** One JSON object on stdout: what `--json` promises. */
  print(value: unknown): void
}

const urlOf = async (flags: Common, known: ReturnType<DeskParts['known']>): Promise<string> => {
  const given = flags.url ?? known.url
  if (given !== null) return given.replace(/\/+$/, '')
  const running = await known.readRunning()
  if (running !== null) return running.url
  throw fail('WRONG_USE', {
    problem:
      'No control plane is known here: start one with "holdfast up", or set HOLDFAST_URL and HOLDFAST_TOKEN',
  })
}

const tokenOf = async (
  flags: Common,
  known: ReturnType<DeskParts['known']>,
  parts: DeskParts,
): Promise<string> => {
  const given =
    flags.tokenFile === undefined
      ? (known.token ?? (await known.readToken()))
      : (await parts.readText(flags.tokenFile)).trim()
  if (given !== null && given !== '') return given
  throw fail('WRONG_USE', {
    problem: 'There is no token: set HOLDFAST_TOKEN, or give --token-file',
  })
}

export const openDesk = async (
  parts: DeskParts,
  flags: Common,
  stop: AbortSignal,
): Promise<Desk> => {
  const known = parts.known(flags)
  const url = await urlOf(flags, known)
  const json = flags.json ?? false
  return {
    api: apiClient(url, await tokenOf(flags, known, parts)),
    screen: screenOn(json ? process.stderr : process.stdout),
    json,
    stop,
    parts,
    print: (value) => void process.stdout.write(`${JSON.stringify(value)}\n`),
  }
}

/** Gives a command the flags by which it finds its control plane. */
export const remote = (command: Command): Command =>
  command
    .option('--url <url>', 'address of the control plane (HOLDFAST_URL)')
    .option('--token-file <file>', 'file with the token (or HOLDFAST_TOKEN)')
    .option('--data <folder>', 'data folder of a control plane here (./data)')
    .option('--json', 'JSON on stdout, everything else on stderr')

/** Runs `work` at a desk; Ctrl-C ends it with the exit code of an interruption. */
export const atDesk = async (
  parts: DeskParts,
  flags: Common,
  work: (desk: Desk) => Promise<number>,
): Promise<number> => {
  const end = new AbortController()
  const signals = onSignals(end, (text) => void process.stderr.write(`${text}\n`))
  try {
    return await work(await openDesk(parts, flags, end.signal))
  } catch (error) {
    if (end.signal.aborted && end.signal.reason === INTERRUPTED) return EXIT.interrupted
    throw error
  } finally {
    signals[Symbol.dispose]()
  }
}

/** What every command of a file needs to register itself. */
export type Register = (program: Command, parts: DeskParts, done: (code: number) => void) => void
