/** The `holdfast` program: words and flags; what they do is passed in. */
import { Command, CommanderError } from 'commander'
import { Failure, problemOf } from '#shared/errors.ts'
import { shown } from '#shared/shown.ts'
import { registerBackup } from './commands/backup.ts'
import { registerGc } from './commands/gc.ts'
import { registerHold } from './commands/hold.ts'
import { registerGet } from './commands/get.ts'
import { registerKeys } from './commands/keys.ts'
import { registerLs } from './commands/ls.ts'
import { registerRestore } from './commands/restore.ts'
import { registerJob } from './commands/job.ts'
import { registerServer } from './commands/server.ts'
import { registerStorage } from './commands/storage.ts'
import { registerToken } from './commands/token.ts'
import { registerVerify } from './commands/verify.ts'
import type { DeskParts, Register } from './desk.ts'
import { EXIT, exitOfError } from './exit-codes.ts'
import { type RecoverFlags, registerRecover } from './recover.ts'
import type { UpOptions } from './up.ts'

export type Actions = {
  up(flags: { readonly data?: string | undefined }, options: UpOptions): Promise<number>
  serve(flags: { readonly data?: string | undefined }, kit: string | null): Promise<number>
  open(args: readonly string[]): Promise<number>
  recover(flags: RecoverFlags): Promise<number>
  readonly desk: DeskParts
  readonly version: string
}

/** The commands that speak to a control plane, in the order of the help. */
const REMOTE: readonly Register[] = [
  registerBackup,
  registerHold,
  registerLs,
  registerRestore,
  registerGet,
  registerVerify,
  registerServer,
  registerStorage,
  registerGc,
  registerJob,
  registerKeys,
  registerToken,
]

type Flags = { data?: string; kit?: string; exit?: boolean; json?: boolean }

const build = (actions: Actions, done: (code: number) => void): Command => {
  const program = new Command('holdfast')
    .description('Encrypted, deduplicated backups of many servers.')
    .version(actions.version)
    .exitOverride()
    .enablePositionalOptions()
    .configureHelp({ helpWidth: 80 })
  program
    .command('up')
    .description('Start everything on this machine, and back up PATHs now.')
    .argument('[paths...]', 'files and folders to back up')
    .option('--exit', 'end after the backup: 0 completed, 3 in part, 1 failed')
    .option('--json', 'one JSON object on stdout at the end, the rest on stderr')
    .option('--kit <file>', 'write the recovery kit there at the first start')
    .option('--data <folder>', 'data folder (HOLDFAST_DATA, ./data)')
    .action(async (paths: string[], flags: Flags) =>
      done(
        await actions.up(flags, {
          paths,
          exit: flags.exit ?? false,
          json: flags.json ?? false,
          kit: flags.kit ?? null,
        }),
      ),
    )
  program
    .command('serve')
    .description('Start the control plane alone; needs DATABASE_URL.')
    .option('--kit <file>', 'write the recovery kit there at the first start')
    .option('--data <folder>', 'folder of the master key and the token')
    .action(async (flags: Flags) => done(await actions.serve(flags, flags.kit ?? null)))
  for (const register of REMOTE) register(program, actions.desk, done)
  registerRecover(program, async (flags) => done(await actions.recover(flags)))
  program
    .command('open')
    .description('Read a vault with an identity, without a control plane.')
    .argument('[args...]')
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action(async (args: string[]) => done(await actions.open(args)))
  return program
}

/** What happened and what to do, without a stack: a stack means a mistake of ours and is for the log. */
export const explain = (error: unknown): string =>
  error instanceof Failure ? `holdfast: ${shown(error.message)}` : `holdfast: ${problemOf(error)}`

const wantsJson = (args: readonly string[]): boolean =>
  args[0] !== 'open' && args.includes('--json')

/** Runs the command of `args` and answers its exit code; every error is printed here. */
export const runProgram = async (actions: Actions, args: readonly string[]): Promise<number> => {
  let code: number = EXIT.done
  try {
    await build(actions, (exit) => (code = exit)).parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    // Commander has printed its own words already; help and version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.wrongUse
    process.stderr.write(`${explain(error)}\n`)
    const exit = exitOfError(error)
    if (wantsJson(args)) {
      const { code: name, details } =
        error instanceof Failure ? error : { code: 'INTERNAL', details: {} }
      const problem = { code: name, message: problemOf(error), details }
      process.stdout.write(`${JSON.stringify({ exit_code: exit, error: problem })}\n`)
    }
    return exit
  }
}
