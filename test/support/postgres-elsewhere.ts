import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { DatabaseAddress } from '#server/io/db/open.ts'

/** A process that has ended may still have a number, until whoever adopted it takes notice. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    const status = process.platform === 'linux' ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ''
    return !/\) Z /.test(status)
  } catch {
    return false
  }
}

export type Owner = {
  readonly child: ChildProcess
  readonly lines: AsyncIterator<string>
  readonly started: {
    readonly pid: number
    readonly owner: boolean
    readonly connect: DatabaseAddress
  }
}

/** Another process that starts the server in `folder`; in a process group of its own, like a terminal's foreground job. */
export const startOwner = async (folder: string): Promise<Owner> => {
  const script = fileURLToPath(new URL('postgres-owner.ts', import.meta.url))
  const child = spawn(process.execPath, [script, folder], {
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const { value } = await lines.next()
  return { child, lines, started: JSON.parse(String(value)) as Owner['started'] }
}

/** Ends it in order, unless it is gone already. */
export const stopOwner = async ({ child }: Owner): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.stdin?.end()
  await once(child, 'exit')
}

/** Ends any child at once. */
export const kill = async (child: ChildProcess): Promise<void> => {
  child.kill('SIGKILL')
  await once(child, 'exit')
}
