/** `holdfast open …`: reading a vault is the agent's; it runs as a child that has our terminal. */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'

/** `holdfast open …`; the child's exit code. */
export const openVault = async (program: string, args: readonly string[]): Promise<number> =>
  follow(spawn(process.execPath, [program, 'open', ...args], { stdio: 'inherit' }))

export type ReaderRun = { readonly code: number; readonly result: string }

/** The same program with `input` on its stdin (keys and URLs are never arguments), and what it gives on descriptor 3. */
export const runReader = async (
  program: string,
  args: readonly string[],
  input: string,
): Promise<ReaderRun> => {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['pipe', 'inherit', 'inherit', 'pipe'],
  })
  // A child that ends early says why itself.
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(input)
  let result = ''
  child.stdio[3]?.on('data', (data: Buffer) => (result += data.toString('utf8')))
  return { code: await follow(child), result }
}

/** 128 + n for signal n, as a shell says it. */
const follow = async (child: ChildProcess): Promise<number> => {
  // The terminal sends Ctrl-C to both; this process waits for what the child makes of it.
  const ignore = (): void => undefined
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
  process.on('SIGINT', ignore)
  process.on('SIGTERM', forward)
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
      })
    })
  } finally {
    process.off('SIGINT', ignore)
    process.off('SIGTERM', forward)
  }
}
