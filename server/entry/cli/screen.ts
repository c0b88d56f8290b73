/** Where people read: plain lines, and one line that changes in place on a terminal. */
import { type Options, type Params, SingleBar } from 'cli-progress'
import type { Progress } from '#shared/api/backups.ts'
import { formatBytes, formatCount, SECOND } from '#shared/units.ts'

export type Screen = {
  readonly say: (text?: string) => void
  readonly out: NodeJS.WriteStream
  readonly columns: number
}

const WIDTH = 80

export const screenOn = (out: NodeJS.WriteStream): Screen => ({
  out,
  columns: Math.min(WIDTH, out.isTTY ? out.columns : WIDTH),
  say: (text = '') => void out.write(`${text}\n`),
})

/** Cut at the end, so that a line that is written over itself never wraps. */
const clip = (text: string, columns: number): string =>
  text.length <= columns ? text : `${text.slice(0, columns - 1)}…`

const PHASES: Readonly<Record<Progress['phase'], string>> = {
  waiting: 'waiting for the agent',
  scanning: 'reading',
  uploading: 'reading and uploading',
  committing: 'committing',
  done: 'done',
}

/** `reading  12,345 files  1.2 GiB  35.1 MiB/s  new 200.0 MiB`: what is known while the whole is not. */
const facts = (progress: Progress): string => {
  if (progress.phase === 'waiting') return PHASES.waiting
  const { bytes, elapsed_seconds: seconds } = progress
  const files = (progress.counts?.files ?? 0) + (progress.counts?.others ?? 0)
  return [
    `${formatCount(files)} files`,
    formatBytes(bytes.source),
    ...(seconds >= 1 ? [`${formatBytes(Math.round(bytes.source / seconds))}/s`] : []),
    `new ${formatBytes(bytes.new)}`,
  ].join('  ')
}

export type ProgressView = { show(progress: Progress): void; end(): void }

const BAR = 20
const PLAIN_EVERY = 5 * SECOND

/** `expected`: bytes of the sources at the last backup, or 0 when there was none. */
const bar = (screen: Screen, expected: number): ProgressView => {
  let latest: Progress | null = null
  const format = (_: Options, params: Params): string => {
    if (latest === null) return PHASES.waiting
    const known = expected > 0 && latest.phase !== 'waiting'
    // The whole is a guess from the last time, so only the end of it is the end.
    const share = Math.min(latest.phase === 'done' ? 1 : 0.99, params.progress)
    const full = Math.round(share * BAR)
    const meter = known
      ? `[${'='.repeat(full)}${' '.repeat(BAR - full)}] ${String(Math.floor(share * 100)).padStart(3)}%  `
      : ''
    return clip(`${meter}${facts(latest)}`, screen.columns - 1)
  }
  const view = new SingleBar({
    stream: screen.out,
    format,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    fps: 10,
    gracefulExit: false,
    linewrap: true,
  })
  view.start(Math.max(1, expected), 0)
  return {
    show: (progress) => {
      latest = progress
      view.update(Math.min(progress.bytes.source, Math.max(1, expected)))
    },
    end: () => view.stop(),
  }
}

const lines = (screen: Screen, now: () => number): ProgressView => {
  let said = now()
  let phase: Progress['phase'] | null = null
  return {
    show: (progress) => {
      const changed = progress.phase !== phase
      if (progress.phase === 'done' || (!changed && now() - said < PLAIN_EVERY)) return
      said = now()
      phase = progress.phase
      screen.say(
        changed || phase === 'waiting' ? PHASES[phase] : `${PHASES[phase]}: ${facts(progress)}`,
      )
    },
    end: () => undefined,
  }
}

/** A live bar on a terminal, else a plain line every few seconds. */
export const progressView = (screen: Screen, expected: number): ProgressView =>
  screen.out.isTTY ? bar(screen, expected) : lines(screen, () => performance.now())
