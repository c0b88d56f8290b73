/** The agent's program as the reader of a recovery: it has the kit, and asks for the bytes that it needs. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fail, hasCode } from '#shared/errors.ts'
import { FromReader, type FromRecoverer } from '#shared/protocol/recovery.ts'
import { parser } from '#shared/schema.ts'
import type { AnswerRead, Ended, Found, RecoveryReader } from '../../ports/recovery.ts'

const parseMessage = parser(FromReader)

const messageIn = (line: string): FromReader => {
  const parsed = parseMessage(JSON.parse(line))
  if ('ok' in parsed) return parsed.ok
  throw fail('PROTOCOL_VIOLATION', { problem: `${parsed.field} ${parsed.problem}` })
}

type Talk = {
  readonly say: (message: FromRecoverer) => Promise<void>
  /** Null at the end. */
  readonly next: () => Promise<FromReader | null>
}

const answer = async (
  { say }: Talk,
  { no, key, start, end = start }: Extract<FromReader, { do: 'read' }>,
  read: AnswerRead,
): Promise<void> => {
  try {
    const found = await read(key, { start, end })
    if (found === null) await say({ do: 'bytes', re: no, problem: 'missing' })
    else
      await say({
        do: 'bytes',
        re: no,
        size: found.size,
        bytes: Buffer.from(found.bytes).toString('base64'),
      })
  } catch (error) {
    const isDamage = hasCode(error, 'DAMAGED')
    await say({ do: 'bytes', re: no, problem: isDamage ? 'damaged' : 'away' })
    if (!isDamage) throw error
  }
}

const hearVault = async (
  talk: Talk,
  read: AnswerRead,
  found: (found: Found) => Promise<void>,
): Promise<Ended> => {
  // What the storage does not do ends the reader; why is what went wrong here.
  const broken: unknown[] = []
  for (;;) {
    const message = await talk.next()
    if (broken.length > 0) throw broken[0]
    if (message === null) throw fail('INTERNAL_AGENT', { problem: 'the reader has ended' })
    if (message.do === 'read') {
      answer(talk, message, read).catch((error: unknown) => broken.push(error))
    } else if (message.do === 'end') return message
    else if (message.do !== 'kit') await found(message)
  }
}

const readerOn = (talk: Talk): RecoveryReader => ({
  begin: async (kit) => {
    await talk.say({ do: 'begin', kit })
    const message = await talk.next()
    if (message?.do === 'kit') return message
    throw fail('WRONG_USE', { problem: 'The recovery kit cannot be used (see above)' })
  },
  vault: async (ask, read, found) => {
    await talk.say({ do: 'vault', ...ask })
    return hearVault(talk, read, found)
  },
})

export type StartedReader = RecoveryReader & AsyncDisposable

export const startReader = (program: string): StartedReader => {
  const child = spawn(process.execPath, [program, 'recover'], {
    stdio: ['pipe', 'inherit', 'inherit', 'pipe'],
  })
  const closed = once(child, 'close')
  const input = child.stdin
  const output = child.stdio[3] as Readable
  if (input === null) throw fail('INTERNAL')
  // A child that ends early says why itself.
  input.on('error', () => undefined)
  const lines = createInterface({ input: output, crlfDelay: Infinity })[Symbol.asyncIterator]()
  const talk: Talk = {
    say: async (message) => {
      if (!input.write(`${JSON.stringify(message)}\n`))
        await Promise.race([once(input, 'drain'), closed])
    },
    next: async () => {
      const { done, value } = await lines.next()
      return done === true ? null : messageIn(value)
    },
  }
  return {
    ...readerOn(talk),
    [Symbol.asyncDispose]: async () => {
      input.end()
      output.resume()
      await closed
    },
  }
}
