import type { Ms } from './units.ts'

/** What time it is. `now` may jump; `monotonic` never goes back and is for measuring spans only. */
export type Clock = {
  now(): Ms
  monotonic(): Ms
  /** Resolves after `span`, or rejects with the signal's reason as soon as `stop` fires. */
  sleep(span: Ms, stop: AbortSignal): Promise<void>
}

/** Cryptographically strong bytes. Tests pass a seeded one. */
export type Random = (length: number) => Uint8Array

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

/** Structured log. Fields never hold secrets, file contents or whole messages. */
export type Log = {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}
