/** What happened to single files, as the protocol carries it. */
import { describe } from '#shared/errors.ts'
import { type Bytes, pathOf, type Place } from '#shared/format/tree-order.ts'
import type { NotedFile } from '#shared/protocol/restore-reports.ts'
import type { RestoreEvent } from './restore-events.ts'

/** PROTOCOL.md, `restore.noted`: so many a run are kept, and so many go in one message. */
const MOST = 10_000
const A_MESSAGE = 100
/** A message has 1 MiB at most, and a character up to six bytes in JSON. */
const CHARS_A_MESSAGE = 100_000

const MOST_PATH = 8192
const MOST_PROBLEM = 500

const textOf = (path: Bytes): string =>
  Buffer.from(path, 'latin1').toString('utf8').slice(0, MOST_PATH)

const placeText = ({ dir, name }: Place): string => textOf(pathOf(dir, name))

const noted = (
  path: string,
  outcome: NotedFile['outcome'],
  [code, problem]: readonly [string, string],
): NotedFile => ({ path, outcome, code, problem: problem.slice(0, MOST_PROBLEM) })

const SKIPPED: Readonly<Record<string, readonly [string, string]>> = {
  exists: ['CONFLICT', 'There is something of this name already; it stays as it is.'],
  socket: ['UNSUPPORTED', 'A socket has no content; the program that made it makes it again.'],
}

export const noteOf = (event: RestoreEvent): NotedFile => {
  switch (event.at) {
    case 'damaged':
    case 'failed': {
      const { code, details } = event.problem
      return noted(textOf(event.path), 'failed', [code, describe(code, details)])
    }
    case 'lost': {
      const { code, details } = event.problem
      const end = event.to === null ? 'the end' : placeText(event.to)
      const problem = `What lies from here up to ${end} is not known: ${describe(code, details)}`
      return noted(placeText(event.from), 'failed', [code, problem])
    }
    case 'skipped':
      return noted(
        textOf(event.path),
        'skipped',
        SKIPPED[event.reason] ?? ['SOURCE_UNREADABLE', `The backup left it out: ${event.reason}.`],
      )
    case 'absent':
      return noted(textOf(event.path), 'failed', [
        'RESOURCE_NOT_FOUND',
        'The backup holds nothing of this name.',
      ])
  }
}

export type Notes = {
  /** Whether there is enough for a message. */
  add(event: RestoreEvent): boolean
  /** What fits into the next message; empty when there is nothing more to say. */
  take(): NotedFile[]
}

/** Beyond the first ten thousand, only counts grow. */
export const createNotes = (): Notes => {
  let waiting: NotedFile[] = []
  let count = 0
  return {
    add: (event) => {
      count += 1
      if (count <= MOST) waiting.push(noteOf(event))
      return waiting.length >= A_MESSAGE
    },
    take: () => {
      let chars = 0
      const end = waiting.findIndex(({ path, problem }, i) => {
        chars += path.length + problem.length
        return i > 0 && (i >= A_MESSAGE || chars > CHARS_A_MESSAGE)
      })
      const taken = end < 0 ? waiting : waiting.slice(0, end)
      waiting = end < 0 ? [] : waiting.slice(end)
      return taken
    },
  }
}
