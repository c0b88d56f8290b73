/** holdfast-agent: a table of commands, and the only file that sees both io and flows. */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fail } from '#shared/errors.ts'
import { readConfig, type Config } from './config.ts'
import { enrollOptions, runEnroll } from './entry/cli/enroll.ts'
import { exitCodeOf, lineOf } from './entry/cli/exit-codes.ts'
import { handedCommand } from './entry/cli/handed.ts'
import { openCommand } from './entry/cli/open.ts'
import { policyLines, policyOptions } from './entry/cli/policy.ts'
import { recoverCommand } from './entry/cli/recover.ts'
import { placesFrom, runAgent } from './entry/cli/run.ts'
import { exitOf, readStatusOf, statusOptions } from './entry/cli/status.ts'
import { statusJson, statusText } from './entry/cli/status-text.ts'
import { type Allow, formatPolicy } from './core/policy.ts'
import { createGuard } from './flow/guard.ts'
import { createThrottling } from './flow/throttle.ts'
import { machineFacts } from './io/facts.ts'
import { httpPut } from './io/http-put.ts'
import { isLocked, lockFolder } from './io/lock.ts'
import { lineLog } from './io/log.ts'
import { boundMemory } from './io/memory.ts'
import { nodeFileSystem } from './io/node-fs.ts'
import { policyFile, trustOf, writePolicy } from './io/policy-file.ts'
import { ownPriority } from './io/priority.ts'
import { openWorld, restoreWorld } from './io/restore-world.ts'
import { stateFolder } from './io/state-folder.ts'
import { askStatus, statusSocket } from './io/status-socket.ts'
import { readSecret, terminalAsk } from './io/terminal.ts'
import { poolOf } from './io/workers.ts'
import { eventLoopTurn, systemClock, systemRandom } from './io/world.ts'
import { dialWebSocket } from './io/ws-dial.ts'
import type { World } from './ports.ts'
import type { Policies } from './ports/policy.ts'

const VERSION = '0.1.0'
const PROGRAM = fileURLToPath(import.meta.url)

type Command = (args: readonly string[], config: Config, stop: AbortSignal) => Promise<number>

const worldOf = (config: Config): World => ({
  clock: systemClock,
  random: systemRandom,
  log: lineLog(config.logLevel),
  turn: eventLoopTurn,
})

const tokenFrom = (file: string | null, config: Config): string => {
  const token = file === null ? (config.token ?? readSecret('-')) : readSecret(file)
  if (token === '') throw fail('WRONG_USE', { problem: 'The enrolment token is empty' })
  return token
}

/** The policies in this file, after it was written where that was asked for. Throws where none can be used. */
const policiesIn = (file: string, allow: Allow | null): Policies => {
  const policies = policyFile(file, trustOf(PROGRAM))
  if (allow !== null) writePolicy(file, formatPolicy(allow))
  policies.read()
  return policies
}

const enroll: Command = async (args, config) => {
  const options = enrollOptions(args)
  const policies = policiesIn(options.policy ?? config.policy, options.allow)
  const folder = options.state ?? config.state
  const lock = await lockFolder(folder)
  try {
    return await runEnroll(options, {
      state: stateFolder(folder),
      world: worldOf(config),
      facts: machineFacts(VERSION),
      dial: dialWebSocket,
      token: tokenFrom(options.tokenFile, config),
      show: (text) => process.stdout.write(text),
      ask: terminalAsk(),
      policy: policies.read(),
    })
  } finally {
    await lock.release()
  }
}

const run: Command = async (args, config, stop) => {
  const { state: folder, policy } = placesFrom(args, config)
  const guard = createGuard(policiesIn(policy, null))
  const lock = await lockFolder(folder)
  boundMemory()
  const throttling = createThrottling(systemClock)
  const put = httpPut(config.patience, throttling.upload)
  try {
    const parts = {
      state: stateFolder(folder),
      folder,
      world: worldOf(config),
      facts: machineFacts(VERSION),
      dial: dialWebSocket,
      patience: config.patience,
      upload: put.upload,
      throttling,
      priority: ownPriority(lineLog(config.logLevel)),
      sealers: poolOf(config.threads),
      fs: nodeFileSystem,
      restoring: restoreWorld(config.threads),
      guard,
      pid: process.pid,
      serveStatus: statusSocket(folder),
    }
    await runAgent(parts, stop)
    return 0
  } finally {
    put.close()
    await lock.release()
  }
}

const showStatus: Command = async (args, config) => {
  const { state: folder, policy, json } = statusOptions(args, config)
  const status = await readStatusOf({
    state: stateFolder(folder),
    folder,
    version: VERSION,
    ask: async () => askStatus(folder),
    isHeld: async () => isLocked(folder),
    policy: () => policiesIn(policy, null).read(),
  })
  process.stdout.write(json ? `${statusJson(status)}\n` : statusText(status))
  return exitOf(status)
}

const showPolicy: Command = async (args, config) => {
  const options = policyOptions(args)
  const policy = policiesIn(options.policy ?? config.policy, options.allow).read()
  process.stdout.write(`${policyLines(policy).join('\n')}\n`)
  return Promise.resolve(0)
}

/** What `holdfast open` starts: reads a vault with an identity, without a control plane. */
const open: Command = async (args, _config, stop) => {
  // Who reads the output may have had enough (`| head`).
  process.stdout.once('error', () => process.exit(141))
  boundMemory()
  return await openCommand(args, openWorld(), {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    drained: async () => {
      if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
    },
    live: process.stderr.isTTY,
    stop,
  })
}

/** Everything on standard input; the result goes to the third descriptor, which the parent has opened. */
const handed: Command = async (_args, _config, stop) => {
  process.stdout.once('error', () => process.exit(141))
  boundMemory()
  const world = { ...openWorld(), random: systemRandom }
  return await handedCommand(readFileSync(0, 'utf8'), world, {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    drained: async () => {
      if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
    },
    live: process.stderr.isTTY,
    stop,
    result: (json) => writeFileSync(3, json),
  })
}

/** Lines in on standard input, lines out on the third descriptor. */
const recover: Command = async () => {
  const out = createWriteStream('', { fd: 3 })
  const world = openWorld()
  const code = await recoverCommand({
    lines: createInterface({ input: process.stdin, crlfDelay: Infinity }),
    say: async (line) => {
      if (!out.write(`${line}\n`)) await once(out, 'drain')
    },
    err: (text) => process.stderr.write(text),
    readText: world.readText,
    clock: systemClock,
  })
  out.end()
  await once(out, 'close')
  return code
}

const COMMANDS: Readonly<Record<string, Command>> = {
  enroll,
  run,
  status: showStatus,
  policy: showPolicy,
  open,
  handed,
  recover,
}

const USAGE = `holdfast-agent ${VERSION}
Commands: ${Object.keys(COMMANDS).join(', ')}
`

const main = async (): Promise<number> => {
  const [name = '', ...args] = process.argv.slice(2)
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) {
    process.stderr.write(USAGE)
    return name === '--help' || name === 'help' ? 0 : 2
  }
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => stop.abort(fail('AGENT_STOPPED')))
  try {
    return await command(args, readConfig(), stop.signal)
  } catch (error) {
    process.stderr.write(`holdfast-agent: ${lineOf(error)}\n`)
    return exitCodeOf(error)
  }
}

process.exitCode = await main()
