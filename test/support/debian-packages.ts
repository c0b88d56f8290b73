/** Debian's packages for tests of parts that others made. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { ended } from './instance.ts'

export type Needed = {
  /** There when the package is. */
  readonly file: string
  readonly name: string
}

const aptGet = async (args: readonly string[], say: (text: string) => void): Promise<void> => {
  say(`apt-get ${args.join(' ')}`)
  const child = spawn('apt-get', ['-qq', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    // Run level 1: what is installed here is not started by the system.
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  })
  const code = await ended(child)
  if (code !== 0) throw new Error(`apt-get ${args.join(' ')} ended with ${String(code)}`)
}

/** Says what it installs. Throws, naming them, where packages are missing and this user may not install any. */
export const installMissing = async (
  needed: readonly Needed[],
  say: (text: string) => void,
): Promise<void> => {
  const missing = needed.filter(({ file }) => !existsSync(file)).map(({ name }) => name)
  if (missing.length === 0) return
  if (!existsSync('/usr/bin/apt-get') || process.geteuid?.() !== 0)
    throw new Error(`needs Debian's packages ${missing.join(' ')}: install them, or run as root`)
  await aptGet(['update'], say)
  await aptGet(['install', '-y', '--no-install-recommends', ...missing], say)
}
