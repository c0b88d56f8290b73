// Runs on whatever Node (18 and up) and npm the machine has, so: plain JavaScript, only `node:` imports.
// Makes sure that node_modules is what the lock file says, and finds the Node that the project is written for.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MODULES = join(ROOT, 'node_modules')
const MARK = join(MODULES, '.holdfast-lock')
const LOCK = join(ROOT, '.holdfast-install')
const WAIT_MS = 10 * 60 * 1000
const NEEDED = [24, 12]

const wanted = () =>
  createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex')
const installed = () => (existsSync(MARK) ? readFileSync(MARK, 'utf8') : '')

export const stop = (message) => {
  process.stderr.write(`holdfast: ${message}\n`)
  process.exit(1)
}

const alive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

const tryLock = () => {
  try {
    mkdirSync(LOCK)
    writeFileSync(join(LOCK, 'pid'), String(process.pid))
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    return false
  }
}

/** One install at a time: a second launcher in the same checkout waits, and takes over from one that died. */
const lock = () => {
  const until = Date.now() + WAIT_MS
  while (!tryLock()) {
    const pidFile = join(LOCK, 'pid')
    const pid = existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : 0
    const young = existsSync(LOCK) && Date.now() - statSync(LOCK).mtimeMs < 5000
    if (pid > 0 ? !alive(pid) : !young) rmSync(LOCK, { recursive: true, force: true })
    if (Date.now() > until) stop(`another install seems to hang; if none runs, remove ${LOCK}`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
  }
}

const npm = (args) => {
  const path = process.env.npm_execpath
  return path !== undefined && /npm-cli\.c?js$/.test(path)
    ? spawnSync(process.execPath, [path, ...args], { cwd: ROOT, encoding: 'utf8' })
    : spawnSync('npm', args, { cwd: ROOT, encoding: 'utf8' })
}

const install = () => {
  process.stderr.write('holdfast: installing what package-lock.json names (once, about 20 s) ...\n')
  const result = npm([
    'ci',
    '--ignore-scripts',
    '--include=optional',
    '--include=dev',
    '--no-audit',
    '--no-fund',
  ])
  if (result.error !== undefined)
    stop(`npm could not be started (${result.error.message}); install npm and run this again`)
  if (result.status !== 0) {
    process.stderr.write(result.stderr)
    stop(
      'npm ci failed; its own words stand above. Check the network or the npm registry setting, then run this again',
    )
  }
  writeFileSync(MARK, wanted())
}

export const ensureInstalled = () => {
  if (installed() === wanted()) return
  lock()
  try {
    if (installed() !== wanted()) install()
  } finally {
    rmSync(LOCK, { recursive: true, force: true })
  }
}

/** The packaged Node of this platform; else the one that runs us, if it is new enough. */
export const findNode = () => {
  const packaged = join(MODULES, `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (existsSync(packaged)) return packaged
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) return process.execPath
  return stop(
    `there is no packaged Node for ${process.platform}-${process.arch}, and this one is ${process.versions.node}; ` +
      `install Node ${NEEDED.join('.')} or newer and run this again`,
  )
}

/**
 * The environment in which every `node` is the project's own. What was compiled once is kept beside the packages: a
 * command starts in 0.6 s of CPU time instead of 1.4.
 */
export const environment = (node) => ({
  NODE_COMPILE_CACHE: join(MODULES, '.cache', 'node'),
  ...process.env,
  PATH: [dirname(node), join(MODULES, '.bin'), process.env.PATH ?? ''].join(delimiter),
})

/** Runs a command in the foreground: signals are passed on, its end is ours. Resolves with its exit code. */
export const foreground = (command, args, options) =>
  new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'inherit', ...options })
    const pass = (signal) => child.kill(signal)
    // A terminal sends Ctrl-C to the whole group, so the child has it already: it decides when to end.
    const ignore = () => undefined
    process.on('SIGINT', ignore)
    process.on('SIGTERM', pass)
    process.on('SIGHUP', pass)
    child.on('error', (error) => stop(`cannot start ${command}: ${error.message}`))
    child.on('exit', (code, signal) => {
      for (const [name, listener] of [
        ['SIGINT', ignore],
        ['SIGTERM', pass],
        ['SIGHUP', pass],
      ])
        process.off(name, listener)
      resolve(signal === null ? (code ?? 1) : 128 + (constants.signals[signal] ?? 0))
    })
  })

/** Installs if needed, then runs one of our TypeScript programs under the right Node, in the caller's folder. */
export const runProgram = async (program, args) => {
  ensureInstalled()
  const node = findNode()
  process.exitCode = await foreground(
    node,
    ['--disable-warning=ExperimentalWarning', join(ROOT, program), ...args],
    {
      env: environment(node),
    },
  )
}
