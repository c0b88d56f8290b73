/** `holdfast open …`: reading a vault is the agent's; it runs as a child that has our terminal. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

/** The child's exit code; 128 + n for signal n, as a shell says it. */
export const openVault = async (program: string, args: readonly string[]): Promise<number> => {
  const child = spawn(process.execPath, [program, 'open', ...args], { stdio: 'inherit' })
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
