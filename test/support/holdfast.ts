/** Runs a command of `holdfast` to its end, as a person would, against a control plane of a test. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../server/main.ts', import.meta.url))

export type Spoken = { readonly code: number | null; readonly out: string; readonly err: string }

/** `input` is what the person types. */
export const holdfast =
  (to: { readonly url: string; readonly token: string; readonly cwd: string }) =>
  async (args: readonly string[], input = ''): Promise<Spoken> => {
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', main, ...args],
      {
        cwd: to.cwd,
        env: { ...process.env, HOLDFAST_URL: to.url, HOLDFAST_TOKEN: to.token },
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    )
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    const said = { out: '', err: '' }
    child.stdout.on('data', (data: Buffer) => (said.out += data.toString()))
    child.stderr.on('data', (data: Buffer) => (said.err += data.toString()))
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    return { code, ...said }
  }
