/** Where people read: plain lines, and one line that changes in place on a terminal. */
import { type Options, type Params, SingleBar } from 'cli-progress'
import type { Progress } from '#shared/api/backups.ts'
import type { Restore } from '#shared/api/restores.ts'
import type { Verification } from '#shared/api/verifications.ts'
import { clip, localTime } from '#shared/table.ts'
import { formatBytes, formatCount, formatSpan, type Ms, SECOND } from '#shared/units.ts'

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

const PHASES: Readonly<Record<Progress['phase'], string>> = {
  waiting: 'waiting for the agent',
  scanning: 'reading',
  uploading: 'reading and uploading',
  committing: 'committing',
  done: 'done',
}

/** `3 min 05 s to 4 min 10 s left`, and that it was said too early where it was. */
const leftOf = (
  { earliest, latest, revisions }: NonNullable<Progress['ends']>,
  now: Ms,
): string => {
  const [least, most] = [earliest, latest].map((at) =>
    formatSpan(Math.max(0, Date.parse(at) - now)),
  )
  const span = least === most ? String(most) : `${String(least)} to ${String(most)}`
  return `${span} left${revisions > 0 ? ' (later than said)' : ''}`
}

/** `reading  12,345 files  1.2 GiB  35.1 MiB/s  new 200.0 MiB`: what is known while the whole is not. */
const facts = (progress: Progress): string => {
  const { bytes, rate, ends } = progress
  const files = (progress.counts?.files ?? 0) + (progress.counts?.others ?? 0)
  return [
    `${formatCount(files)} files`,
    formatBytes(bytes.source),
    ...(rate === null ? [] : [`${formatBytes(rate)}/s`]),
    `new ${formatBytes(bytes.new)}`,
    ...(ends === null ? [] : [leftOf(ends, Date.now())]),
  ].join('  ')
}

/** What a view shows of long work. `share`: how much of it is done, 0 to 1; null where the whole is not known. */
type Meter = { readonly share: number | null; readonly phase: string; readonly facts: string }
type MeterView = { show(now: Meter): void; end(): void }

const BAR = 20
const PLAIN_EVERY = 5 * SECOND
const STEPS = 1000

const bar = (screen: Screen): MeterView => {
  let latest: Meter | null = null
  const format = (_: Options, params: Params): string => {
    if (latest === null) return ''
    const share = params.progress
    const full = Math.round(share * BAR)
    const meter =
      latest.share === null
        ? ''
        : `[${'='.repeat(full)}${' '.repeat(BAR - full)}] ${String(Math.floor(share * 100)).padStart(3)}%  `
    return clip(`${meter}${latest.facts === '' ? latest.phase : latest.facts}`, screen.columns - 1)
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
  view.start(STEPS, 0)
  return {
    show: (now) => {
      latest = now
      view.update(Math.floor((now.share ?? 0) * STEPS))
    },
    end: () => view.stop(),
  }
}

const lines = (screen: Screen, now: () => number): MeterView => {
  let said = now()
  let last: string | null = null
  return {
    show: ({ phase, facts: text }) => {
      const changed = phase !== last
      if (!changed && now() - said < PLAIN_EVERY) return
      said = now()
      last = phase
      screen.say(changed || text === '' ? phase : `${phase}: ${text}`)
    },
    end: () => undefined,
  }
}

/** A live bar on a terminal, else a plain line every few seconds. */
export const meterView = (screen: Screen): MeterView =>
  screen.out.isTTY ? bar(screen) : lines(screen, () => performance.now())

/** The whole is a guess or still grows, so only the end of it is the end. */
const shareOf = (done: number, total: number): number => Math.min(0.99, done / total)

export type ProgressView = { show(progress: Progress): void; end(): void }

export const progressView = (screen: Screen): ProgressView => {
  const view = meterView(screen)
  return {
    show: (progress) => {
      const { phase, share } = progress
      if (phase === 'done') return
      if (progress.paused_at !== null) {
        view.show({
          share: null,
          phase: `paused since ${localTime(progress.paused_at)}`,
          facts: '',
        })
        return
      }
      view.show({
        share: phase === 'waiting' ? null : share,
        phase: PHASES[phase],
        facts: phase === 'waiting' ? '' : facts(progress),
      })
    },
    end: () => view.end(),
  }
}

const RESTORE_PHASES: Readonly<Record<Restore['phase'], string>> = {
  waiting: 'waiting for the agent',
  checking: 'looking what is wanted',
  restoring: 'restoring',
  finishing: 'setting times and owners',
  done: 'done',
}

const restoreFacts = ({ counts, bytes }: Restore): string =>
  counts === null
    ? ''
    : [
        `${formatCount(counts.files)} files`,
        formatBytes(bytes.restored),
        `fetched ${formatBytes(bytes.fetched)}`,
        ...(counts.failed === 0 ? [] : [`${formatCount(counts.failed)} failed`]),
      ].join('  ')

export const restoreView = (screen: Screen): { show(restore: Restore): void; end(): void } => {
  const view = meterView(screen)
  return {
    show: (restore) => {
      const { phase, bytes } = restore
      if (phase === 'done') return
      view.show({
        share: bytes.total > 0 ? shareOf(bytes.restored, bytes.total) : null,
        phase: RESTORE_PHASES[phase],
        facts: phase === 'waiting' ? '' : restoreFacts(restore),
      })
    },
    end: () => view.end(),
  }
}

const VERIFICATION_PHASES: Readonly<Record<Verification['status'], string>> = {
  pending: 'waiting for the control plane',
  running: 'reading',
  completed: 'done',
  failed: 'done',
  canceled: 'done',
}

export const verificationView = (
  screen: Screen,
): { show(verification: Verification): void; end(): void } => {
  const view = meterView(screen)
  return {
    show: ({ level, status, progress }) => {
      if (status !== 'pending' && status !== 'running') return
      const { bytes_total: total, bytes_done: done, files_done: entries, problem_count } = progress
      const problems = problem_count === 0 ? '' : `  ${formatCount(problem_count)} problems`
      const counted = level === 'restore' ? `${formatCount(entries)} entries  ` : ''
      const text = `${counted}${formatBytes(done)}${problems}`
      view.show({
        share: total > 0 ? shareOf(done, total) : null,
        phase: VERIFICATION_PHASES[status],
        facts: status === 'pending' ? '' : text,
      })
    },
    end: () => view.end(),
  }
}
