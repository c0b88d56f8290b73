/** The person at the terminal, and what is piped in. */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { ReadStream, WriteStream } from 'node:tty'
import { fail, problemOf } from '#shared/errors.ts'

const TERMINAL = '/dev/tty'

/** Asks on the terminal itself, so that standard input stays free for a token; null where there is none. */
export const terminalAsk = (): ((question: string) => Promise<boolean>) | null => {
  try {
    closeSync(openSync(TERMINAL, 'r+'))
  } catch {
    return null
  }
  return async (question) => {
    const input = new ReadStream(openSync(TERMINAL, 'r'))
    const output = new WriteStream(openSync(TERMINAL, 'w'))
    const lines = createInterface({ input, output })
    try {
      return /^\s*y(es)?\s*$/i.test(await lines.question(`${question} [y/N] `))
    } finally {
      lines.close()
      input.destroy()
      output.destroy()
    }
  }
}

const STANDARD_INPUT = 0

/** A secret from a file, or with `-` from standard input: its first line. */
export const readSecret = (path: string): string => {
  try {
    const text = readFileSync(path === '-' ? STANDARD_INPUT : path, 'utf8')
    return text.split(/\r?\n/)[0]?.trim() ?? ''
  } catch (error) {
    throw fail(
      'WRONG_USE',
      { problem: `Cannot read ${path}: ${problemOf(error)}` },
      { cause: error },
    )
  }
}
