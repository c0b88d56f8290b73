/** What went wrong with single entries: all are counted, the first are kept. */
import type { ErrorCode } from '#shared/errors.ts'
import type { RecordError } from '#shared/format/record-errors.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { FileProblem } from '#shared/protocol/reports.ts'
import { showBytes, showProblem } from './open-show.ts'

export type Tell = (path: Bytes, code: ErrorCode, problem: string) => void

export type Problems = {
  add(path: Bytes, code: ErrorCode, problem: string): void
  readonly count: number
  readonly kept: readonly RecordError[]
}

/** Beyond these only the count grows: a broken disk must not fill the memory. */
const MOST = 5000
/** What a report carries: a message has 1 MiB at most, and a character up to six bytes in JSON. */
const REPORTED = 100
const REPORTED_CHARS = 100_000

/** `tell` hears of each. */
export const createProblems = (tell: Tell = () => undefined): Problems => {
  const kept: RecordError[] = []
  let count = 0
  return {
    add: (path, code, problem) => {
      count += 1
      tell(path, code, problem)
      if (kept.length < MOST) kept.push({ path, code, problem })
    },
    get count() {
      return count
    },
    kept,
  }
}

/** Lines of this kind in the log of a run; the record and the backup have more. */
const LINES = 100

/** One line for each of the first problems, and one that says that there are more. */
export const asLines = (say: (line: string) => void): Tell => {
  let told = 0
  return (path, code, problem) => {
    told += 1
    if (told <= LINES) say(showProblem({ code, details: { path: showBytes(path), problem } }))
    else if (told === LINES + 1) say('There are more problems with files than are told here.')
  }
}

/** The first ones as the protocol carries them: paths as text. */
export const reported = (problems: Problems): FileProblem[] => {
  let left = REPORTED_CHARS
  const first = problems.kept.slice(0, REPORTED).map(({ path, code, problem }) => ({
    path: Buffer.from(path, 'latin1').toString('utf8').slice(0, 8192),
    code,
    problem: problem.slice(0, 500),
  }))
  return first.filter(({ path, problem }) => {
    left -= path.length + problem.length
    return left >= 0
  })
}
