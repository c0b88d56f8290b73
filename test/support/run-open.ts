/** `holdfast open` in this process, and what it said. */
import { openCommand } from '#agent/entry/cli/open.ts'
import { createExtract } from '#agent/io/restore-extract.ts'
import { openWorld } from '#agent/io/restore-world.ts'
import type { OpenWorld } from '#agent/core/restore-ports.ts'

/** One object of a line of `--json`. */
export type Line = Readonly<Record<string, unknown>>
export type OpenRun = {
  readonly exit: number
  readonly lines: readonly Line[]
  readonly out: string
  readonly err: string
}

/** The work of the threads done in this one: they take longer to start than most tests do. */
export const withoutThreads = (): OpenWorld => ({
  ...openWorld(),
  extractors: (idKey) => ({
    width: 2,
    run: createExtract(idKey, 'test'),
    close: async () => Promise.resolve(),
  }),
})

export const runOpen = async (
  args: readonly string[],
  { world = withoutThreads(), stop = new AbortController().signal } = {},
): Promise<OpenRun> => {
  let out = ''
  let err = ''
  const exit = await openCommand(args, world, {
    out: (text) => (out += text),
    err: (text) => (err += text),
    stop,
  })
  return { exit, out, err, lines: args.includes('--json') ? jsonLines(out) : [] }
}

const isLine = (value: unknown): value is Line => typeof value === 'object' && value !== null

const jsonLines = (out: string): readonly Line[] =>
  out
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line))
    .filter(isLine)

export const eventsOf = (run: OpenRun, event: string): readonly Line[] =>
  run.lines.filter((line) => line['event'] === event)
