/** Structured log: one JSON line an event on standard error. */
import type { Log, LogFields } from '#shared/world.ts'
import { LEVELS, type Level } from '../core/log-level.ts'

export const lineLog = (least: Level): Log => {
  const from = LEVELS.indexOf(least)
  const write =
    (level: Level) =>
    (fields: LogFields, message: string): void => {
      if (LEVELS.indexOf(level) < from) return
      const time = new Date().toISOString()
      process.stderr.write(`${JSON.stringify({ time, level, message, ...fields })}\n`)
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}
