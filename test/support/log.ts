import type { Log, LogFields } from '#shared/world.ts'

export type LogLine = {
  readonly level: string
  readonly message: string
  readonly fields: LogFields
}

/** A log that keeps its lines. */
export const memoryLog = (): Log & { readonly lines: readonly LogLine[] } => {
  const lines: LogLine[] = []
  const at =
    (level: string) =>
    (fields: LogFields, message: string): void =>
      void lines.push({ level, message, fields })
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
